"""Parties with a past: as many payments, periods or observations as asked for, then one more."""

import json
import time
from collections import Counter
from typing import Any

import pytest

from bench.growth.parties import KINDS, OLDER, PAYMENTS, RENEWALS, UPDATES, PartyKind, grown

PAID = "payment_intent.succeeded"
UPDATED = "customer.subscription.updated"


def read(bodies: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(body) for body in bodies]


def types(bodies: list[bytes]) -> Counter[str]:
    return Counter(event["type"] for event in read(bodies))


@pytest.mark.parametrize(
    ("kind", "repeated"),
    [(PAYMENTS, PAID), (RENEWALS, "invoice.paid"), (UPDATES, UPDATED), (OLDER, UPDATED)],
)
def test_a_past_has_as_many_of_its_kind_more_as_asked_for(kind: PartyKind, repeated: str) -> None:
    new, old = (grown(kind, size, "seed", ahead=2).heard() for size in (0, 7))

    assert types(old)[repeated] == types(new)[repeated] + 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_party_is_one_customer_of_one_user(kind: PartyKind) -> None:
    party = grown(kind, 3, "seed", ahead=2)
    stated = [event["data"]["object"] for event in read(party.heard() + party.further())]

    made = [each["id"] for each in stated if each["object"] == "customer"]
    assert {each["customer"] for each in stated if each.get("customer")} == {*made}
    assert len(made) == 1
    assert party.user in json.dumps(stated)


def test_a_payment_and_a_renewal_are_the_events_that_the_page_names() -> None:
    payment, renewal = (types(grown(kind, 3, "s", ahead=2).further()) for kind in KINDS[:2])

    # Before the first call of `heard`, what happened next comes after the past.
    assert payment[PAID] == 4
    assert set(renewal) >= {UPDATED, PAID, "invoice.paid", "invoice_payment.paid"}


@pytest.mark.parametrize("kind", [PAYMENTS, RENEWALS, UPDATES])
def test_what_happens_next_is_newer_than_the_past_and_not_ahead_of_the_clock(
    kind: PartyKind,
) -> None:
    party = grown(kind, 20, "seed", ahead=3)
    before = max(event["created"] for event in read(party.heard()))

    created = [event["created"] for _ in range(3) for event in read(party.further())]

    assert before < min(created)
    assert max(created) < time.time()


def test_each_older_update_lies_in_the_middle_of_the_past_in_a_second_of_its_own() -> None:
    party = grown(OLDER, 40, "seed", ahead=3)
    past = sorted(event["created"] for event in read(party.heard()))

    further = [event for _ in range(3) for event in read(party.further())]
    late = [event["created"] for event in further]

    # The subscription is afterwards as it was: the next one changes the same again.
    assert all("metadata" in event["data"]["previous_attributes"] for event in further)
    assert len(set(late)) == 3
    assert not set(late) & set(past)
    assert all(past[5] < each < past[-5] for each in late)


def test_what_is_to_come_can_be_read_beforehand_and_happens_once() -> None:
    party = grown(UPDATES, 1, "seed", ahead=3)
    party.heard()

    coming = party.coming()

    assert party.coming() == party.further() == coming
    assert party.further() != coming


def test_changes_within_one_second_follow_each_other_unless_every_other_one_is_not_heard() -> None:
    linked, unlinked = (read(_changes(heard_of)) for heard_of in (1, 2))

    assert len(linked) == len(unlinked) == 5
    assert len({event["created"] for event in linked}) == 1
    assert len({event["created"] for event in unlinked}) == 1
    assert _numbers(linked) == [(str(n), str(n - 1)) for n in range(2, 7)]
    assert not {then for then, _ in _numbers(unlinked)} & {was for _, was in _numbers(unlinked)}


def _changes(heard_of: int) -> list[bytes]:
    party = grown(UPDATES, 0, "seed", ahead=1)
    party.heard()
    return party.changes(5, heard_of=heard_of)


def _numbers(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (
            event["data"]["object"]["metadata"]["change"],
            event["data"]["previous_attributes"]["metadata"]["change"],
        )
        for event in events
    ]
