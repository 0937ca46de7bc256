"""A payment stays loaded as long as a later event may ask for it without naming it."""

from dataclasses import replace

from billing.archiving.archive import archive
from billing.facts import Fact
from billing.ids import ObjectKey
from billing.projection.party import PartyFacts
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    customer,
    intent,
    invoice,
    open_invoice,
    subscribed,
    subscription,
)

NOW = at(400 * DAY)
LATER = tuple(intent(seconds=day * DAY, stripe_id=f"pi_{day}") for day in range(2, 13))
BILLED_LATER = invoice(200 * DAY, stripe_id="in_later")
"""The newest bill of the subscription, which stays for that reason."""


def archived(*facts: Fact) -> set[str]:
    """Return the ids of the objects that are archived."""
    party = PartyFacts([customer("usr_1"), *facts, *LATER])
    found = archive(party, party.project(CATALOGUE, NOW), CATALOGUE, NOW)
    assert found, "the payments that came later are old enough by themselves"
    return {key.removeprefix("test:") for each in found.archives for _, key in each.facts}


def names(fact: Fact, *others: str) -> Fact:
    keys = (ObjectKey(f"test:{each}") for each in others)
    return replace(fact, mentions=(*fact.mentions, *keys))


def test_an_invoice_of_no_subscription_goes_and_one_that_is_to_be_paid_stays() -> None:
    running = [subscription("active", 0), BILLED_LATER]
    unpaid = open_invoice(DAY, finalized_at=at(DAY))

    assert "in_1" in archived(invoice(DAY, subscription=None), *running)
    assert "in_1" not in archived(unpaid, *running)


def test_an_invoice_stays_whose_subscription_is_unknown() -> None:
    assert "in_1" not in archived(invoice(DAY), BILLED_LATER)


def test_an_invoice_stays_whose_failed_payment_began_the_days_of_grace() -> None:
    failed = invoice(DAY, payment_failed=True)
    running, past_due = subscription("active", 2 * DAY), subscription("past_due", DAY)

    assert "in_1" in archived(failed, BILLED_LATER, running)
    assert "in_1" not in archived(failed, BILLED_LATER, past_due)


def test_a_checkout_that_began_a_subscription_stays() -> None:
    assert "cs_1" not in archived(subscribed(DAY), subscription("active", DAY))


def test_a_payment_of_two_invoices_stays_with_them() -> None:
    bills = [
        names(invoice(DAY, stripe_id=f"in_{number}", payment_refs=("pi_1",)), "pi_1")
        for number in (1, 2)
    ]
    paid = intent(seconds=DAY, stripe_id="pi_1", amount=5998, amount_received=5998)
    facts = (subscription("active", 0), BILLED_LATER, paid)

    assert archived(*facts, *bills).isdisjoint({"in_1", "in_2", "pi_1"})
    assert archived(*facts, bills[0]) >= {"in_1", "pi_1"}
