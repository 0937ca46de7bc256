"""A comparison with Stripe is due by the schedule, or because events may be lost."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.ids import Realm
from runtime.reconciling import (
    REST,
    UNDELIVERED_EVERY,
    ComparedPart,
    Loop,
    LoopRuns,
    PastRuns,
    late_at,
    loops_due,
    modes_of,
    realms_of,
)
from runtime.settings import Settings

TEST = Realm("test")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
MINUTE = timedelta(minutes=1)


def settings(**environ: str) -> Settings:
    return Settings.from_env({"STRIPE_API_KEY": "sk_test_x", **environ})


def past(
    part: ComparedPart, done_at: datetime | None, tried_at: datetime | None = None
) -> PastRuns:
    """Return runs of which every other part is recent."""
    recent = {
        Loop(realm=TEST, part=each): LoopRuns(done_at=NOON, tried_at=NOON) for each in ComparedPart
    }
    tried = tried_at or done_at
    runs = {Loop(realm=TEST, part=part): LoopRuns(done_at=done_at, tried_at=tried)}
    return PastRuns(by_loop={**recent, **runs})


def due(runs: PastRuns, now: datetime = NOON) -> list[ComparedPart]:
    return [each.part for each in loops_due([TEST], runs, now)]


def test_events_are_due_at_first_the_cheapest_before_the_others() -> None:
    assert due(PastRuns()) == [ComparedPart.UNDELIVERED, ComparedPart.EVENTS]


def test_objects_wait_at_first_for_the_backfill_or_for_their_first_turn() -> None:
    sunday = datetime(2026, 11, 22, 3, tzinfo=UTC)

    def begun(first_at: datetime, realm: Realm = TEST) -> PastRuns:
        runs = LoopRuns(done_at=NOON, tried_at=NOON, first_at=first_at)
        parts = (ComparedPart.UNDELIVERED, ComparedPart.EVENTS)
        return PastRuns(by_loop={Loop(realm=realm, part=part): runs for part in parts})

    assert due(begun(sunday + MINUTE)) == []
    assert due(begun(sunday - MINUTE)) == [ComparedPart.OBJECTS]
    assert ComparedPart.OBJECTS not in due(begun(sunday - MINUTE, Realm("test/acct_1")))
    filled = PastRuns(by_loop=begun(NOON).by_loop, objects_doubtful_at=NOON)
    assert due(filled) == [ComparedPart.OBJECTS]


def test_each_account_has_loops_of_its_own() -> None:
    other = Realm("test/acct_1")

    loops = loops_due([TEST, other], past(ComparedPart.EVENTS, NOON), NOON)

    assert {each.realm for each in loops} == {other}


def test_undelivered_events_are_asked_for_every_half_hour() -> None:
    assert due(past(ComparedPart.UNDELIVERED, NOON - UNDELIVERED_EVERY + MINUTE)) == []
    assert due(past(ComparedPart.UNDELIVERED, NOON - UNDELIVERED_EVERY - MINUTE)) == [
        ComparedPart.UNDELIVERED
    ]


def test_all_events_are_compared_once_a_night() -> None:
    tonight = NOON.replace(hour=3)
    assert due(past(ComparedPart.EVENTS, tonight + MINUTE)) == []
    assert due(past(ComparedPart.EVENTS, tonight - MINUTE)) == [ComparedPart.EVENTS]
    assert due(past(ComparedPart.EVENTS, tonight - 5 * MINUTE), tonight - MINUTE) == []


def test_objects_are_compared_in_the_night_to_sunday() -> None:
    sunday = datetime(2026, 11, 22, 3, tzinfo=UTC)
    assert due(past(ComparedPart.OBJECTS, sunday + MINUTE)) == []
    assert due(past(ComparedPart.OBJECTS, sunday - MINUTE)) == [ComparedPart.OBJECTS]


@pytest.mark.parametrize("part", [ComparedPart.EVENTS, ComparedPart.OBJECTS])
def test_a_run_that_failed_is_tried_again_after_a_rest(part: ComparedPart) -> None:
    long_ago = NOON - timedelta(days=20)
    assert due(past(part, long_ago, tried_at=NOON - REST + MINUTE)) == []
    assert due(past(part, long_ago, tried_at=NOON - REST - MINUTE)) == [part]


def test_a_loss_of_data_asks_for_events_at_once_and_once() -> None:
    lost_at = NOON - 2 * REST
    before, after = (
        past(ComparedPart.EVENTS, lost_at - MINUTE),
        past(ComparedPart.EVENTS, lost_at + MINUTE),
    )

    found = [
        due(PastRuns(by_loop=each.by_loop, events_doubtful_at=lost_at)) for each in (before, after)
    ]

    assert found == [[ComparedPart.EVENTS], []]


def test_a_backfill_asks_for_objects_at_once() -> None:
    filled_at = NOON - 2 * REST
    runs = past(ComparedPart.OBJECTS, filled_at - MINUTE).by_loop

    assert due(PastRuns(by_loop=runs, objects_doubtful_at=filled_at)) == [ComparedPart.OBJECTS]


def test_a_run_that_was_killed_goes_on_without_a_rest() -> None:
    loop = Loop(realm=TEST, part=ComparedPart.EVENTS)
    runs = past(ComparedPart.EVENTS, NOON).by_loop

    assert due(PastRuns(by_loop=runs, unfinished=(loop,))) == [ComparedPart.EVENTS]


@pytest.mark.parametrize("part", ComparedPart)
def test_a_part_is_late_only_after_two_turns(part: ComparedPart) -> None:
    turns = {
        ComparedPart.UNDELIVERED: timedelta(minutes=30),
        ComparedPart.EVENTS: timedelta(days=1),
    }

    assert late_at(part) > 2 * turns.get(part, timedelta(days=7))


@pytest.mark.parametrize(
    ("environ", "modes"),
    [
        ({}, (False,)),
        ({"PAIDUP_LIVEMODE": "live"}, ()),
        ({"STRIPE_API_KEY": "rk_live_x"}, (True,)),
        ({"STRIPE_API_KEY": "sk_org_x"}, ()),
        ({"STRIPE_API_KEY": "sk_org_x", "PAIDUP_LIVEMODE": "live"}, (True,)),
    ],
)
def test_the_key_and_the_mode_that_counts_say_what_is_compared(
    environ: dict[str, str], modes: tuple[bool, ...]
) -> None:
    assert modes_of(settings(**environ)) == modes


def test_connected_accounts_come_after_our_own() -> None:
    found = realms_of(settings(PAIDUP_CONNECT_ACCOUNTS="acct_2,acct_1"))

    assert found == ("test", "test/acct_1", "test/acct_2")


def test_there_is_no_schedule_without_a_key() -> None:
    assert not Settings.from_env({}).reconciles
    assert not settings(PAIDUP_RECONCILE="0").reconciles
    assert settings().reconciles
