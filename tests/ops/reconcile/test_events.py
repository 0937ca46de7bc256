"""Stripe's events against ours, with real servers and a Stripe on loopback."""


import pytest

from billing.envelope import Envelope, parse
from ops.samples.scenario import Event
from tests.ops.ops_env import yesterday
from tests.ops.reconcile.stripe_side import BothSides, ids

pytestmark = pytest.mark.servers


@pytest.fixture
def purchase(sides: BothSides) -> list[Event]:
    """The events of a purchase, which happened at Stripe."""
    events = [*sides.floor.books.compose("onetime").events]
    sides.happen(*events)
    return events


def test_both_agree_if_everything_arrived(sides: BothSides, purchase: list[Event]) -> None:
    sides.floor.take_in(*purchase)

    run, statement = sides.reconcile()

    assert sides.differences(run) == {}
    assert statement.events == len(purchase)
    assert sides.run_row(run).state == "done"


def test_a_preview_names_what_never_arrived_and_puts_nothing_in(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.floor.take_in(*purchase[:2])

    run, statement = sides.reconcile()

    assert set(sides.states(run)) == ids(purchase[2:])
    assert set(sides.states(run).values()) == {"stands"}
    assert statement.differing == len(purchase) - 2
    assert set(sides.settled()) == ids(purchase[:2])


def test_what_never_arrived_is_put_in_applied_and_audited(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.floor.take_in(*purchase[:2])

    run, statement = sides.reconcile(apply=True)

    assert set(sides.states(run).values()) == {"repaired"}
    assert statement.differing == 0
    assert {sides.settled()[each.id] for each in purchase[2:]} == {"reconcile"}
    asked_for = sides.floor.audited("reconcile.requested")
    assert {(actor, reason) for actor, _, reason in asked_for} == {("ada", "a test")}
    assert {target for _, target, _ in asked_for} == ids(purchase[2:])


def test_a_second_run_finds_nothing(sides: BothSides, purchase: list[Event]) -> None:
    sides.reconcile(apply=True)

    run, statement = sides.reconcile(apply=True)

    assert sides.differences(run) == {}
    assert statement.events == len(purchase)


def test_an_event_that_waits_in_the_inbox_is_not_missing(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.floor.take_in(*purchase[1:])
    sides.floor.inbox.accept(_envelope(purchase[0]))

    run, _ = sides.reconcile()

    assert sides.differences(run) == {}
    assert sides.run_row(run).counts["waiting"] == 1


def test_a_young_event_is_moving_and_stays_out(sides: BothSides, purchase: list[Event]) -> None:
    newest = max(purchase, key=lambda each: each.created)
    sides.api.clock = lambda: newest.created + 60

    run, statement = sides.reconcile(apply=True)

    assert sides.states(run)[newest.id] == "moving"
    assert newest.id not in sides.settled()
    assert statement.differing == 0


def test_a_dead_letter_is_left_to_a_person(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        sides.floor.take_in(*purchase)

    run, statement = sides.reconcile(apply=True)

    assert set(sides.states(run).values()) == {"left"}
    assert set(sides.floor.letters().values()) == {"open"}
    assert statement.differing == len(purchase)


def test_an_event_that_no_reader_reads_is_not_missing(sides: BothSides) -> None:
    sides.api.account.learn(
        {
            "id": "evt_product",
            "object": "event",
            "type": "product.updated",
            "created": int(sides.floor.books.now.timestamp()),
            "livemode": False,
            "data": {"object": {"id": "prod_1", "object": "product", "created": 1}},
        }
    )

    run, _ = sides.reconcile(apply=True)

    assert sides.differences(run) == {}
    assert sides.run_row(run).counts["not read"] == 1


def _envelope(event: Event) -> Envelope:
    return parse(event.body)
