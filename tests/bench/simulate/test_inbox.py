"""The simulated inbox hands out events by the rules of the scripts."""

from bench.simulate.arrivals import Arrival
from bench.simulate.inbox import SimulatedInbox

OLD, YOUNG = 0.0, 1.0


def filled(parties: list[int], *, processes: int = 4) -> SimulatedInbox:
    """Return an inbox with one event for each entry, a hundredth of a second apart."""
    inbox = SimulatedInbox(most_events=200, processes=processes)
    for place, party in enumerate(parties):
        inbox.accept(Arrival(float(place), party), OLD + place / 100)
    return inbox


def test_the_party_whose_first_event_waits_longest_is_claimed_first() -> None:
    claim = filled([3, 1, 3, 2]).claim(YOUNG)

    assert [event.party for event in claim.events] == [3, 3, 1, 2]


def test_a_party_has_one_owner_until_its_batch_is_finished() -> None:
    inbox = filled([1, 2])
    claim = inbox.claim(YOUNG)
    inbox.accept(Arrival(5.0, 1), YOUNG)

    assert inbox.oldest_due() is None
    assert not inbox.claim(YOUNG).events

    inbox.finish(claim)

    assert [event.party for event in inbox.claim(YOUNG).events] == [1]
    assert inbox.waiting == 1


def test_a_claim_takes_at_most_as_many_events_as_a_batch_has() -> None:
    claim = filled(list(range(300))).claim(YOUNG)

    assert len(claim.events) == 200


def test_a_party_gets_a_quarter_of_a_claim_while_others_wait() -> None:
    inbox = filled([1] * 300 + [2, 3, 4])

    claim = inbox.claim(YOUNG)

    assert [event.party for event in claim.events] == [1] * 50 + [2, 3, 4]


def test_a_party_that_waits_alone_gets_a_whole_claim() -> None:
    assert len(filled([1] * 300).claim(YOUNG).events) == 200


def test_a_process_is_woken_if_none_drains() -> None:
    inbox = filled([1])

    assert inbox.wake_is_owed(OLD)

    inbox.register_wake(OLD)

    assert not inbox.wake_is_owed(OLD)


def test_a_wake_up_that_was_lost_is_owed_again_after_a_while() -> None:
    inbox = filled([1], processes=1)
    inbox.register_wake(OLD)

    assert not inbox.wake_is_owed(OLD + 1.9)
    assert inbox.wake_is_owed(OLD + 2.1)


def test_a_second_process_is_woken_once_something_waits_long() -> None:
    inbox = filled([1])
    inbox.registered[-1] = float("inf")

    assert not inbox.wake_is_owed(OLD + 0.24)
    assert inbox.wake_is_owed(OLD + 0.26)


def test_a_second_process_is_woken_at_once_for_more_parties_than_a_claim_has() -> None:
    inbox = filled([1])
    inbox.registered[-1] = float("inf")
    for party in range(2, 202):
        inbox.accept(Arrival(0.0, party), OLD)

    assert inbox.wake_is_owed(OLD)


def test_no_process_is_woken_if_all_drain() -> None:
    inbox = filled([1], processes=1)
    inbox.registered[-1] = float("inf")

    assert not inbox.wake_is_owed(OLD + 60)


def test_a_full_claim_wakes_another_process_for_the_rest() -> None:
    assert filled(list(range(300))).claim(YOUNG).wakes
    assert not filled(list(range(200))).claim(YOUNG).wakes
    assert not filled(list(range(10))).claim(YOUNG).wakes
