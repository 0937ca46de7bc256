from collections.abc import Callable

import pytest

from runtime.inbox.entries import InboxFull
from runtime.inbox.inbox import MAX_EVENTS, Inbox, new_token
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    key_of,
    keys_of,
    let_time_pass,
    one_place_each,
    settled,
)

pytestmark = pytest.mark.servers


def test_a_new_event_is_stored_with_the_exact_signed_bytes(inbox: Inbox) -> None:
    envelope = event(1)

    assert inbox.accept(envelope).status == "accepted"

    (entry,) = inbox.claim("owner").entries
    assert entry.body == envelope.body
    assert (entry.key, entry.origin, entry.attempts, entry.crashes) == ("evt_1", "stripe", 0, 0)


def test_what_the_caller_adds_comes_out_with_the_event(inbox: Inbox) -> None:
    inbox.accept(event(1), origin="reconcile", extra={"asked_by": "ann"})

    (entry,) = inbox.claim("owner").entries
    assert (entry.origin, entry.extra) == ("reconcile", {"asked_by": "ann"})


def test_a_pending_event_is_a_duplicate_without_result(inbox: Inbox) -> None:
    inbox.accept(event(1))

    again = inbox.accept(event(1))

    assert (again.status, again.result, again.wake) == ("duplicate", None, None)
    assert inbox.backlog().events == 1


def test_a_duplicate_costs_no_write_to_disk(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    (settled_event,) = keys_of(inbox.claim("owner", max_events=1))
    inbox.finish("owner", settled([settled_event]))

    assert changes_on_disk(client, lambda: inbox.accept(event(3))) > 0
    assert changes_on_disk(client, lambda: inbox.accept(event(1))) == 0
    assert changes_on_disk(client, lambda: inbox.accept(event(2, customer="cus_2"))) == 0


def changes_on_disk(client: Client, action: Callable[[], object]) -> int:
    """Return by how many bytes the append-only file grows; each write is one flush of the disk."""
    before = client.info("persistence")["aof_current_size"]
    action()
    return int(client.info("persistence")["aof_current_size"] - before)


def test_a_claimed_event_is_a_duplicate_too(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")

    assert inbox.accept(event(1)).status == "duplicate"


def test_a_settled_event_is_a_duplicate_with_the_first_result(inbox: Inbox) -> None:
    inbox.accept(event(1))
    claim_and_finish_all(inbox)

    again = inbox.accept(event(1))

    assert (again.status, again.result) == ("duplicate", {"outcome": "applied"})
    assert inbox.backlog().events == 0


def test_one_event_in_two_api_shapes_is_a_duplicate(inbox: Inbox) -> None:
    inbox.accept(event(1))

    assert inbox.accept(event(1, padding=10)).status == "duplicate"


@pytest.mark.parametrize("first_is_settled", [False, True])
def test_another_event_under_a_known_id_is_a_conflict(
    inbox: Inbox,
    first_is_settled: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    first, second = event(1), event(1, kind="customer.subscription.deleted")
    inbox.accept(first)
    if first_is_settled:
        claim_and_finish_all(inbox)

    assert inbox.accept(second).status == "conflict"

    (conflict,) = inbox.peek([f"evt_1#{second.fingerprint}"])
    assert (conflict.state, conflict.body, conflict.header["type"]) == (
        "conflict",
        second.body,
        "customer.subscription.deleted",
    )
    assert inbox.conflicts() == [conflict.key]
    assert inbox.accept(first).status == "duplicate"


def test_a_conflict_that_is_sent_again_counts_once(inbox: Inbox) -> None:
    inbox.accept(event(1))
    for _ in range(3):
        inbox.accept(event(1, kind="customer.subscription.deleted"))

    backlog = inbox.backlog()

    assert (backlog.conflicts, backlog.counters["conflicts"], backlog.events) == (1, 1, 1)


def test_a_full_inbox_refuses_new_events_and_still_recognizes_duplicates(client: Client) -> None:
    inbox = Inbox(client, limit=2)
    inbox.accept(event(1))
    inbox.accept(event(2))

    with pytest.raises(InboxFull):
        inbox.accept(event(3))

    assert inbox.accept(event(2)).status == "duplicate"
    assert inbox.backlog().events == 2


def test_an_event_at_rest_owes_a_wake_up_and_a_burst_owes_one(inbox: Inbox) -> None:
    wakes = [inbox.accept(event(n, customer=f"cus_{n}")).wake for n in range(50)]

    assert wakes[0] is not None
    assert wakes[1:] == [None] * 49


def test_a_wake_up_that_could_not_be_published_is_owed_again(inbox: Inbox) -> None:
    first = inbox.accept(event(1)).wake
    assert first is not None

    inbox.unregister(first)

    assert inbox.accept(event(2)).wake is not None


def test_a_wake_up_that_was_lost_is_owed_again_after_seconds(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    let_time_pass(client, 2.1)

    assert inbox.accept(event(2)).wake is not None


def test_while_the_breaker_is_open_no_wake_up_is_owed(inbox: Inbox) -> None:
    inbox.open_breaker("database away", 30)

    accepted = inbox.accept(event(1))

    assert (accepted.status, accepted.wake) == ("accepted", None)


def test_no_second_worker_is_woken_for_a_claimed_partition(inbox: Inbox, client: Client) -> None:
    inbox.announce("supervisor", 4)
    wake = inbox.accept(event(1)).wake
    inbox.claim("owner", wake=wake)

    assert inbox.accept(event(2)).wake is None
    let_time_pass(client, 5)
    assert inbox.accept(event(3)).wake is None


def test_more_partitions_than_the_drainers_can_take_wake_another(inbox: Inbox) -> None:
    wakes = []
    for number in range(350):
        # Each time, as a supervisor does once a second: a busy machine may take longer for all of
        # them than an announcement lasts, and a single process is owed no second wake-up.
        inbox.announce("supervisor", 2)
        wakes.append(inbox.accept(event(number, customer=f"cus_{number}")).wake)

    first, second, *_ = (number for number, wake in enumerate(wakes) if wake is not None)
    assert first == 0
    assert 0 < second <= MAX_EVENTS


def test_an_event_that_waits_behind_a_slow_drainer_wakes_an_idle_process(
    inbox: Inbox, client: Client
) -> None:
    inbox.announce("supervisor", 2)
    wake = inbox.accept(event(1)).wake
    inbox.claim("slow", wake=wake)
    inbox.accept(event(2, customer="cus_2"))
    let_time_pass(client, 1)

    assert inbox.accept(event(3, customer="cus_3")).wake is not None


@pytest.mark.parametrize("broken_after", ["body", "meta", "queue", "ready"])
def test_an_event_that_a_broken_script_left_half_written_is_accepted_again(
    inbox: Inbox, client: Client, broken_after: str
) -> None:
    envelope = event(1)
    inbox.accept(envelope)
    written = ["body", "meta", "queue", "ready", "index"]
    for step in written[written.index(broken_after) + 1 :]:
        client.delete(
            *{
                "meta": [f"{PREFIX}event:meta"],
                "queue": [f"{PREFIX}queue:live|{envelope.partition}"],
                "ready": [f"{PREFIX}ready:live"],
                "index": [f"{PREFIX}index"],
            }[step]
        )

    assert inbox.accept(envelope).status == "accepted"

    assert claim_and_finish_all(inbox) == ["evt_1"]
    assert one_place_each(client) == {}


def test_an_event_that_was_never_indexed_is_known_from_its_first_claim_on(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    client.delete(f"{PREFIX}index")
    inbox.claim("owner")

    assert inbox.accept(event(1)).status == "duplicate"
    inbox.finish("owner", settled(["evt_1"]))
    assert one_place_each(client) == {}


def test_a_server_that_lost_the_scripts_gets_them_again(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    client.script_flush()

    assert inbox.accept(event(2)).status == "accepted"


def test_events_of_the_inbox_never_expire(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim(new_token())

    lasting = [key for key in client.keys(f"{PREFIX}*") if client.ttl(key) != -1]
    assert lasting == []


def test_order_of_acceptance_is_the_order_of_claims(inbox: Inbox, client: Client) -> None:
    for number in range(5):
        inbox.accept(event(number, customer=f"cus_{9 - number}"))
        let_time_pass(client, 1)

    assert keys_of(inbox.claim("owner")) == [key_of(n) for n in range(5)]
