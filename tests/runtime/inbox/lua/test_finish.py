from collections.abc import Callable

import pytest

from runtime.inbox.entries import Lane, Parked
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    keys_of,
    let_time_pass,
    one_place_each,
    settled,
)

pytestmark = pytest.mark.servers

_KEPT = {"counters", "database:epoch", "done:evt_1", "drainers", "epoch", "settled"}


def test_a_finished_event_leaves_nothing_but_its_result(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")

    closed = inbox.finish("owner", settled(["evt_1"]))

    assert closed.events == 1
    left = {key.decode().removeprefix(PREFIX) for key in client.keys(f"{PREFIX}*")}
    assert left == _KEPT
    assert 2 * 86400 < client.ttl(f"{PREFIX}done:evt_1") <= 3 * 86400


def test_a_discarded_event_leaves_nothing_and_may_come_again(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")

    assert inbox.discard("owner", ["evt_1"]).events == 1

    assert inbox.backlog().counters["discarded"] == 1
    assert inbox.accept(event(1)).status == "accepted"


@pytest.mark.parametrize("call", ["finish", "discard", "park", "release", "heartbeat"])
def test_an_owner_whose_claim_has_ended_changes_nothing(
    inbox: Inbox, client: Client, call: str
) -> None:
    inbox.accept(event(1))
    inbox.claim("zombie")
    let_time_pass(client, 11)
    inbox.sweep()
    assert keys_of(inbox.claim("heir")) == ["evt_1"]
    before = one_place_each(client)

    calls: dict[str, Callable[[], object]] = {
        "finish": lambda: inbox.finish("zombie", settled(["evt_1"])).events,
        "discard": lambda: inbox.discard("zombie", ["evt_1"]).events,
        "park": lambda: inbox.park(
            "zombie", [Parked(key="evt_1", delay_seconds=9, charged=True, error="late")]
        ),
        "release": lambda: inbox.release("zombie"),
        "heartbeat": lambda: inbox.heartbeat("zombie"),
    }

    assert not calls[call]()
    assert one_place_each(client) == before
    assert not client.exists(f"{PREFIX}settled")
    assert inbox.heartbeat("heir")
    assert inbox.finish("heir", settled(["evt_1"])).events == 1


def test_finishing_twice_counts_once(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")

    assert inbox.finish("owner", settled(["evt_1", "evt_1"])).events == 1
    assert inbox.finish("owner", settled(["evt_1"])).events == 0


def test_done_markers_can_be_dropped(inbox: Inbox) -> None:
    for number in range(20):
        inbox.accept(event(number))
    claim_and_finish_all(inbox)

    assert inbox.drop_done_markers() == 20

    assert inbox.accept(event(3)).status == "accepted"


def test_parking_stores_the_error_and_counts_attempts(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    for charged, error in ((True, "locked"), (False, "database away"), (True, "timeout")):
        inbox.claim("owner")
        inbox.park("owner", [Parked(key="evt_1", delay_seconds=5, charged=charged, error=error)])
        let_time_pass(client, 6)

    (entry,) = inbox.claim("owner").entries

    assert (entry.attempts, entry.last_error) == (2, "timeout")
    assert entry.first_failed_at is not None
    assert entry.last_failed_at is not None
    assert entry.first_failed_at <= entry.last_failed_at


def test_any_error_text_can_be_parked(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    error = '"suspect":true \x00 \ud800 ' + "long " * 2000

    inbox.park("owner", [Parked(key="evt_1", delay_seconds=-3, charged=True, error=error)])

    (entry,) = inbox.claim("owner").entries
    assert entry.last_error is not None
    assert entry.last_error.startswith('"suspect":true \x00 ? long')
    assert len(entry.last_error) == 4000


def test_an_event_can_be_parked_into_another_lane(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2))
    inbox.claim("owner")
    park = Parked(key="evt_1", delay_seconds=0, charged=False, error="to fetch", lane=Lane.FETCH)
    inbox.park("owner", [park])
    inbox.finish("owner", settled(["evt_2"]))

    backlog = inbox.backlog()
    assert (backlog.by_lane[Lane.LIVE], backlog.by_lane[Lane.FETCH]) == (0, 1)
    assert inbox.claim("drainer").entries == ()
    (entry,) = inbox.claim("fetcher", lanes=[Lane.FETCH]).entries
    assert (entry.key, entry.lane) == ("evt_1", Lane.FETCH)
    inbox.finish("fetcher", settled(["evt_1"]))
    assert inbox.backlog().by_lane[Lane.FETCH] == 0


def test_a_released_event_is_due_as_if_it_had_never_been_claimed(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("owner")
    inbox.finish("owner", settled(["evt_1"]))

    assert inbox.release("owner") == 1

    (entry,) = inbox.claim("other").entries
    assert (entry.key, entry.attempts, entry.crashes) == ("evt_2", 0, 0)


def test_an_owner_that_leaves_hands_on_the_rest(inbox: Inbox) -> None:
    arrived = inbox.accept(event(1)).wake
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("owner", wake=arrived, max_events=1)

    wake = inbox.leave("owner", hand_on=True)

    assert wake is not None
    assert len(inbox.claim("next", wake=wake).entries) == 2


def test_an_owner_that_leaves_nothing_wakes_no_worker(inbox: Inbox) -> None:
    inbox.accept(event(1))
    claim_and_finish_all(inbox)

    assert inbox.leave("owner", hand_on=True) is None


def test_an_owner_that_leaves_without_handing_on_still_releases(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")

    assert inbox.leave("owner", hand_on=False) is None

    assert keys_of(inbox.claim("next")) == ["evt_1"]
