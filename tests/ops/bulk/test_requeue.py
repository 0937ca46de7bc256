"""Requeue events: the state after a failure in each step, and with two operators at once."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from billing.envelope import Envelope, parse
from ops.bulk.requeue import Requeuer
from ops.bulk.results import ReplayStatus
from ops.bulk.targets import Target
from ops.queries.replay_results import current_mark
from ops.samples.scenario import Event
from runtime.inbox.entries import Accepted
from runtime.inbox.inbox import Inbox
from tests.ops.ops_env import OpsEnv, yesterday
from tests.runtime.inbox.entry_builders import let_time_pass

pytestmark = pytest.mark.servers


class KilledReplay(Exception):
    """The process was killed here."""


class DiesBefore(Inbox):
    def requeue(self, envelope: Envelope, **given: Any) -> Accepted:
        raise KilledReplay(envelope.event_id, given)


class DiesAfter(Inbox):
    def requeue(self, envelope: Envelope, **given: Any) -> Accepted:
        super().requeue(envelope, **given)
        raise KilledReplay(envelope.event_id)


def make_requeuer(
    floor: OpsEnv,
    *,
    inbox: Inbox | None = None,
    who: str = "cli:ada",
    publish: Callable[[str], bool] = lambda _: True,
) -> Requeuer:
    with floor.engine.connect() as connection:
        mark = current_mark(connection)
    return Requeuer(
        engine=floor.engine,
        inbox=inbox or floor.inbox,
        publish=publish,
        actor=who,
        reason="mended",
        mark=mark,
    )


def statuses(requeuer: Requeuer, targets: Sequence[Target]) -> list[ReplayStatus]:
    return [result.status for result in requeuer.requeue(targets)]


def dead_letter(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> tuple[Event, Target]:
    """Make a dead letter of a purchase that an old release could not read."""
    event = floor.books.compose("onetime").events[-1]
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(event)
    return event, Target(key=event.id, is_dead_letter=True)


def settled(floor: OpsEnv) -> tuple[Event, Target]:
    event = floor.books.compose("onetime").events[-1]
    floor.take_in(event)
    return event, Target(key=event.id, is_dead_letter=False)


def where(floor: OpsEnv, key: str) -> tuple[str | None, bool, int]:
    """Return the letter's state, whether it is in the inbox, and how often it was settled."""
    count = f"SELECT count(*) FROM stripe_events WHERE id = '{key}'"  # noqa: S608 - a test's own id
    inside = floor.inbox.pending([key]) == [key]
    return floor.letters().get(key), inside, floor.scalars(count)[0]


def test_killed_before_the_inbox_nothing_has_happened(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = dead_letter(floor, monkeypatch)

    with pytest.raises(KilledReplay):
        make_requeuer(floor, inbox=DiesBefore(floor.client)).requeue([target])

    assert where(floor, target.key) == ("open", False, 0)
    assert floor.audited("replay.requested") == []


def test_killed_after_the_inbox_it_is_in_both_places_and_settles_once(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = dead_letter(floor, monkeypatch)

    with pytest.raises(KilledReplay):
        make_requeuer(floor, inbox=DiesAfter(floor.client)).requeue([target])

    assert where(floor, target.key) == ("open", True, 0)
    assert statuses(make_requeuer(floor), [target]) == [ReplayStatus.ALREADY_QUEUED]
    floor.work()
    assert where(floor, target.key) == ("replayed", False, 1)
    assert floor.audited("dead_letter.replayed") == [("cli:ada", target.key, "mended")]


def test_killed_between_commit_and_finish_it_settles_once(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = dead_letter(floor, monkeypatch)
    make_requeuer(floor).requeue([target])

    def die(*_: object, **__: object) -> None:
        raise KilledReplay

    with monkeypatch.context() as broken:
        broken.setattr(floor.inbox, "finish", die)
        with pytest.raises(KilledReplay):
            floor.work()
    assert where(floor, target.key) == ("replayed", True, 1)

    let_time_pass(floor.client, 60)
    floor.inbox.sweep()
    floor.work()

    assert where(floor, target.key) == ("replayed", False, 1)
    granted = "SELECT count(*) FROM audit_logs WHERE action = 'entitlement.granted'"
    assert floor.scalars(granted) == [1]


def test_a_wake_up_is_sent_after_commit_or_taken_back(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = dead_letter(floor, monkeypatch)
    requested: list[int] = []

    def refuse(_: str) -> bool:
        requested.append(len(floor.audited("replay.requested")))
        return False

    make_requeuer(floor, publish=refuse).requeue([target])

    assert requested == [1]
    assert floor.inbox.backlog().drainers == 0


def test_of_two_who_let_one_event_in_the_second_finds_it_on_its_way(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = dead_letter(floor, monkeypatch)
    ada, bob = make_requeuer(floor), make_requeuer(floor, who="cli:bob")

    assert statuses(ada, [target]) == [ReplayStatus.QUEUED]
    assert statuses(bob, [target]) == [ReplayStatus.ALREADY_QUEUED]
    floor.work()
    assert statuses(bob, [target]) == [ReplayStatus.ALREADY_QUEUED]
    assert statuses(make_requeuer(floor), [target]) == [ReplayStatus.RESOLVED_ELSEWHERE]
    assert floor.requeued() == 1


def test_a_settled_event_that_another_replayed_meanwhile_is_not_let_in_again(
    floor: OpsEnv,
) -> None:
    _, target = settled(floor)
    ada, bob = make_requeuer(floor), make_requeuer(floor, who="cli:bob")

    assert statuses(ada, [target]) == [ReplayStatus.QUEUED]
    floor.work()

    assert statuses(bob, [target]) == [ReplayStatus.ALREADY_QUEUED]
    assert statuses(make_requeuer(floor), [target]) == [ReplayStatus.QUEUED]


def test_two_at_once_let_each_event_in_once(floor: OpsEnv) -> None:
    events = [e for seed in "abcdef" for e in floor.books.compose("onetime", seed=seed).events]
    floor.take_in(*events)
    targets = [Target(key=event.id, is_dead_letter=False) for event in events]
    requeuers = [make_requeuer(floor, who=f"cli:{who}") for who in ("ada", "bob")]
    said: list[ReplayStatus] = []

    def work_through(one: Requeuer, ordered: Sequence[Target]) -> None:
        for target in ordered:
            said.extend(statuses(one, [target]))

    threads = [
        threading.Thread(target=work_through, args=(requeuers[0], targets)),
        threading.Thread(target=work_through, args=(requeuers[1], targets[::-1])),
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        floor.work()
    for thread in threads:
        thread.join()
    floor.work()

    assert floor.requeued() == len(events)
    assert sorted(status.name for status in said) == ["ALREADY_QUEUED"] * len(events) + [
        "QUEUED"
    ] * len(events)
    assert len(floor.audited("replay.settled")) == len(events)


def test_a_delivery_of_stripes_that_is_pending_comes_first(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, target = dead_letter(floor, monkeypatch)
    ours = make_requeuer(floor)
    floor.inbox.accept(parse(event.body))

    assert statuses(ours, [target]) == [ReplayStatus.PENDING]
    floor.work()
    assert statuses(ours, [target]) == [ReplayStatus.RESOLVED_ELSEWHERE]
    assert floor.audited("replay.requested") == []


def test_a_letter_that_is_being_settled_is_not_waited_for(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = dead_letter(floor, monkeypatch)
    ours = make_requeuer(floor)

    with floor.engine.begin() as other:
        other.execute(sa.text("SELECT 1 FROM dead_letters FOR UPDATE"))
        assert statuses(ours, [target]) == [ReplayStatus.LOCKED]
    assert statuses(ours, [target]) == [ReplayStatus.QUEUED]
