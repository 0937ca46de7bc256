"""Previews of a replay: they show all changes and make none."""

from typing import Any

import pytest

from billing.envelope import parse
from ops.bulk.preview import NetChanges, ReplayPreview, ReplayPreviewer
from ops.bulk.results import ReplayStatus
from ops.bulk.targets import Target
from ops.samples.scenario import Event
from runtime.ledger.record import Ledger
from runtime.settings import Settings
from tests.ops.ops_env import OpsEnv, yesterday
from tests.runtime.ledger.delivery_builders import contents

pytestmark = pytest.mark.servers


def preview_replay(floor: OpsEnv, *targets: Target) -> ReplayPreview:
    previewer = ReplayPreviewer(Settings.from_env({}), floor.engine)
    previewer.run(targets, lambda _: None)
    return previewer.preview


def letters(*events: Event) -> list[Target]:
    return [Target(key=event.id, is_dead_letter=True) for event in events]


def settled(*events: Event) -> list[Target]:
    return [Target(key=event.id, is_dead_letter=False) for event in events]


def test_letters_that_would_apply_tell_entitlements_and_payments_and_leave_no_trace(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = floor.books.compose("onetime").events
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(*events)
    before = contents(floor.engine)

    seen = preview_replay(floor, *letters(*events))

    assert seen.results.counts == {ReplayStatus.APPLIED: len(events)}
    ((was, is_now),) = seen.entitlements.pairs()
    assert was is None
    assert is_now is not None
    assert (is_now.user_id, is_now.active) == ("usr_1", True)
    ((_, paid),) = seen.payments.pairs()
    assert paid is not None
    assert (paid.amount_minor, paid.currency) == (9900, "usd")
    assert contents(floor.engine) == before
    assert floor.inbox.backlog().events == 0


def test_it_tells_what_the_replay_then_does(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("onetime", "renewal", "refund_partial")
    stories = [floor.books.compose(name, seed=name, user=f"usr_{name}") for name in names]
    events = [event for story in stories for event in story.events]
    with yesterday(monkeypatch, unreadable=False):
        floor.take_in(*events)

    seen = preview_replay(floor, *settled(*events))
    floor.books.settle((parse(event.body) for event in events), origin="replay")

    active = floor.scalars(
        "SELECT user_id || source FROM user_entitlements WHERE active ORDER BY 1"
    )
    previewed = [after for _, after in seen.entitlements.pairs() if after and after.active]
    assert sorted(row.user_id + row.source for row in previewed) == sorted(active)
    left = "SELECT sum(amount_minor - amount_refunded_minor) FROM payments"
    paid = [after for _, after in seen.payments.pairs() if after]
    assert [sum(p.amount_minor - p.amount_refunded_minor for p in paid)] == floor.scalars(left)


def test_parties_that_share_a_set_are_previewed_as_if_alone_and_a_chain_as_one(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.bulk.preview.BATCH_SIZE", 2)
    first = floor.books.compose("renewal", seed="a").events
    second = floor.books.compose("renewal", seed="b", user="usr_2").events
    mixed = [event for pair in zip(first, second, strict=True) for event in pair]
    with yesterday(monkeypatch, unreadable=False):
        floor.take_in(*mixed)
    sizes: list[int] = []
    preview = Ledger.preview

    def counted(ledger: Ledger, deliveries: list[object], lock_seconds: float) -> object:
        sizes.append(len(deliveries))
        return preview(ledger, deliveries, lock_seconds)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(Ledger, "preview", counted)
    seen = preview_replay(floor, *settled(*mixed))

    assert sizes == [len(first), len(second)]
    assert seen.results.counts.total() == len(mixed)
    assert {after.user_id for _, after in seen.entitlements.pairs() if after} == {
        "usr_1",
        "usr_2",
    }


def test_what_changes_nothing_says_why(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    *events, late = floor.books.compose("renewal").events
    floor.take_in(*events)
    with yesterday(monkeypatch, unreadable=False):
        floor.take_in(late)

    seen = preview_replay(floor, *settled(*events))

    assert seen.results.counts == {ReplayStatus.ALREADY_APPLIED: len(events)}
    assert seen.entitlements.pairs() == []
    assert seen.payments.pairs() == []
    assert seen.rows == {}


def test_one_that_still_fails_is_shown_with_its_error_and_hides_no_other(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, *_, bad = floor.books.compose("onetime").events
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(good, bad)
    with yesterday(monkeypatch, unreadable=True, only={bad.id}):
        seen = preview_replay(floor, *letters(good, bad))

    assert seen.results.listed[good.id].status is ReplayStatus.APPLIED
    assert seen.results.listed[bad.id].status is ReplayStatus.FAILED
    assert "UnreadableEvent" in seen.results.listed[bad.id].detail


def test_what_ended_its_workers_is_not_tried_here(floor: OpsEnv) -> None:
    (event, *_) = floor.books.compose("onetime").events
    floor.inbox.accept(parse(event.body))
    floor.client.hset("paidup:history", event.id, '{"crashes": 3}')
    floor.work()
    assert floor.letter(event.id).error_type == "crash_loop"

    seen = preview_replay(floor, *letters(event))

    assert seen.results.listed[event.id].status is ReplayStatus.NOT_TRIED


def test_rows_on_their_way_back_are_no_change() -> None:
    net: Any = NetChanges()
    row = type("Row", (), {"key": ("a",)})()
    other = type("Row", (), {"key": ("b",)})()

    net.change(row, other)
    assert net.pairs() == [(row, other)]
    net.change(other, row)

    assert net.pairs() == []
