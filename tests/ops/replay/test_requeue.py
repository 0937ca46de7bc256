"""Letting events in again: what stands where whenever a step fails, and with two who do it."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from billing.envelope import Envelope, parse
from ops.queries.replay_results import mark
from ops.replay.requeue import Entrance, FrontDoor, Order
from ops.replay.targets import Target
from ops.samples.scenario import Event
from runtime.inbox.entries import Accepted
from runtime.inbox.inbox import Inbox
from tests.ops.ops_env import Floor, yesterday
from tests.runtime.inbox.entry_builders import let_time_pass

pytestmark = pytest.mark.servers


class Killed(Exception):
    """The process ended here."""


class DiesBefore(Inbox):
    def readmit(self, envelope: Envelope, **given: Any) -> Accepted:
        raise Killed(envelope.event_id, given)


class DiesAfter(Inbox):
    def readmit(self, envelope: Envelope, **given: Any) -> Accepted:
        super().readmit(envelope, **given)
        raise Killed(envelope.event_id)


def door(
    floor: Floor,
    *,
    inbox: Inbox | None = None,
    who: str = "cli:ada",
    publish: Callable[[str], bool] = lambda _: True,
) -> FrontDoor:
    with floor.engine.connect() as connection:
        order = Order(actor=who, reason="mended", mark=mark(connection))
    return FrontDoor(engine=floor.engine, inbox=inbox or floor.inbox, publish=publish, order=order)


def entrances(door: FrontDoor, targets: Sequence[Target]) -> list[Entrance]:
    return [answer.entrance for answer in door.let_in(targets)]


def buried(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> tuple[Event, Target]:
    """A purchase that yesterday's reader could not read."""
    event = floor.books.compose("onetime").events[-1]
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(event)
    return event, Target(key=event.id, buried=True)


def settled(floor: Floor) -> tuple[Event, Target]:
    event = floor.books.compose("onetime").events[-1]
    floor.take_in(event)
    return event, Target(key=event.id, buried=False)


def where(floor: Floor, key: str) -> tuple[str | None, bool, int]:
    """The letter's state, whether it is in the inbox, and how often it is settled."""
    count = f"SELECT count(*) FROM stripe_events WHERE id = '{key}'"  # noqa: S608 - a test's own id
    inside = floor.inbox.pending([key]) == [key]
    return floor.letters().get(key), inside, floor.scalars(count)[0]


def test_killed_before_the_inbox_nothing_has_happened(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = buried(floor, monkeypatch)

    with pytest.raises(Killed):
        door(floor, inbox=DiesBefore(floor.client)).let_in([target])

    assert where(floor, target.key) == ("open", False, 0)
    assert floor.audited("replay.requested") == []


def test_killed_after_the_inbox_it_is_in_both_places_and_settles_once(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = buried(floor, monkeypatch)

    with pytest.raises(Killed):
        door(floor, inbox=DiesAfter(floor.client)).let_in([target])

    assert where(floor, target.key) == ("open", True, 0)
    assert entrances(door(floor), [target]) == [Entrance.JOINED]
    floor.work()
    assert where(floor, target.key) == ("replayed", False, 1)
    assert floor.audited("dead_letter.replayed") == [("cli:ada", target.key, "mended")]


def test_killed_between_commit_and_finish_it_settles_once(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = buried(floor, monkeypatch)
    door(floor).let_in([target])

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(floor.inbox, "finish", die)
        with pytest.raises(Killed):
            floor.work()
    assert where(floor, target.key) == ("replayed", True, 1)

    let_time_pass(floor.client, 60)
    floor.inbox.sweep()
    floor.work()

    assert where(floor, target.key) == ("replayed", False, 1)
    granted = "SELECT count(*) FROM audit_logs WHERE action = 'entitlement.granted'"
    assert floor.scalars(granted) == [1]


def test_a_wake_up_is_sent_after_commit_or_taken_back(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = buried(floor, monkeypatch)
    requested: list[int] = []

    def refuse(_: str) -> bool:
        requested.append(len(floor.audited("replay.requested")))
        return False

    door(floor, publish=refuse).let_in([target])

    assert requested == [1]
    assert floor.inbox.backlog().drainers == 0


def test_of_two_who_let_one_event_in_the_second_finds_it_on_its_way(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = buried(floor, monkeypatch)
    ada, bob = door(floor), door(floor, who="cli:bob")

    assert entrances(ada, [target]) == [Entrance.IN]
    assert entrances(bob, [target]) == [Entrance.JOINED]
    floor.work()
    assert entrances(bob, [target]) == [Entrance.JOINED]
    assert entrances(door(floor), [target]) == [Entrance.CLOSED]
    assert floor.readmitted() == 1


def test_a_settled_event_that_another_replayed_meanwhile_is_not_let_in_again(
    floor: Floor,
) -> None:
    _, target = settled(floor)
    ada, bob = door(floor), door(floor, who="cli:bob")

    assert entrances(ada, [target]) == [Entrance.IN]
    floor.work()

    assert entrances(bob, [target]) == [Entrance.JOINED]
    assert entrances(door(floor), [target]) == [Entrance.IN]


def test_two_at_once_let_each_event_in_once(floor: Floor) -> None:
    events = [e for seed in "abcdef" for e in floor.books.compose("onetime", seed=seed).events]
    floor.take_in(*events)
    targets = [Target(key=event.id, buried=False) for event in events]
    doors = [door(floor, who=f"cli:{who}") for who in ("ada", "bob")]
    said: list[Entrance] = []

    def work_through(one: FrontDoor, ordered: Sequence[Target]) -> None:
        for target in ordered:
            said.extend(entrances(one, [target]))

    threads = [
        threading.Thread(target=work_through, args=(doors[0], targets)),
        threading.Thread(target=work_through, args=(doors[1], targets[::-1])),
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        floor.work()
    for thread in threads:
        thread.join()
    floor.work()

    assert floor.readmitted() == len(events)
    assert sorted(entrance.name for entrance in said) == ["IN"] * len(events) + ["JOINED"] * len(
        events
    )
    assert len(floor.audited("replay.settled")) == len(events)


def test_a_delivery_of_stripes_that_is_pending_comes_first(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, target = buried(floor, monkeypatch)
    ours = door(floor)
    floor.inbox.accept(parse(event.body))

    assert entrances(ours, [target]) == [Entrance.PENDING]
    floor.work()
    assert entrances(ours, [target]) == [Entrance.CLOSED]
    assert floor.audited("replay.requested") == []


def test_a_letter_that_is_being_settled_is_not_waited_for(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = buried(floor, monkeypatch)
    ours = door(floor)

    with floor.engine.begin() as other:
        other.execute(sa.text("SELECT 1 FROM dead_letters FOR UPDATE"))
        assert entrances(ours, [target]) == [Entrance.BUSY]
    assert entrances(ours, [target]) == [Entrance.IN]
