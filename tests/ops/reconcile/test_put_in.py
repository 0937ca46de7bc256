"""Missing events go in behind live ones, and each gets its result."""

import pytest

from ops.bulk.run import WINDOW
from ops.reconcile.put_in import PUT_IN
from ops.samples.scenario import Event
from runtime.inbox.entries import Lane
from tests.ops.ops_env import yesterday
from tests.ops.reconcile.stripe_side import BothSides

pytestmark = pytest.mark.servers


@pytest.fixture
def purchase(sides: BothSides) -> list[Event]:
    """The events of a purchase, which happened at Stripe and never arrived."""
    events = [*sides.floor.books.compose("onetime").events]
    sides.happen(*events)
    return events


def test_events_wait_for_room_that_replays_leave_to_deliveries(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.reconcile.put_in.WINDOW", 2)
    sides.api.account.page_size = 1
    most = []

    def work(seconds: float) -> None:
        most.append(sides.floor.inbox.backlog().by_lane[Lane.REPLAY])
        sides.floor.work(seconds)

    sides.work = work
    sides.reconcile(apply=True)

    assert set(sides.settled()) == {each.id for each in purchase}
    assert max(most) <= 2 < WINDOW


def test_it_says_why_nothing_is_taken_while_it_waits(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.reconcile(apply=True)

    assert set(sides.sentences) == {"no worker is running: start `paidup worker`"}


def test_an_event_that_cannot_be_applied_is_left_as_a_dead_letter(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        run, statement = sides.reconcile(apply=True)

    assert set(sides.states(run).values()) == {"left"}
    assert all("paidup dead show" in each.says for each in sides.differences(run).values())
    assert statement.document()["agrees"] is False


def test_an_event_that_left_without_a_result_is_said_to_stand(
    sides: BothSides, purchase: list[Event]
) -> None:
    def lose(_: float) -> None:
        sides.floor.client.flushall()

    sides.work = lose

    run, _ = sides.reconcile(apply=True)

    found = sides.differences(run).values()
    assert {each.state for each in found} == {"stands"}
    assert PUT_IN not in {each.says for each in found}
