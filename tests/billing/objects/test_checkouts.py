"""The state of a checkout: no older or sibling event undoes a payment."""

from typing import ClassVar

import pytest

from billing.facts import OBSERVED, Fact
from billing.objects.checkouts import SessionState, fold_session
from billing.objects.ordering import order_facts
from billing.rows import PurchaseStatus
from tests.billing.fact_builders import at, checkout

FAILED = "checkout.session.async_payment_failed"
EXPIRED = "checkout.session.expired"


def state(*facts: Fact) -> SessionState:
    return fold_session(facts[0].object_key, order_facts(facts))


def unpaid(seconds: float = 0, event_type: str = "checkout.session.completed") -> Fact:
    return checkout(seconds, payment_status="unpaid", how={"type_": event_type})


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([checkout()], PurchaseStatus.PAID),
        ([checkout(payment_status="no_payment_required")], PurchaseStatus.PAID),
        ([checkout(), unpaid(5, FAILED)], PurchaseStatus.PAID),
        ([unpaid()], PurchaseStatus.PENDING),
        ([unpaid(), unpaid(5, FAILED)], PurchaseStatus.FAILED),
        ([unpaid(), unpaid(5, FAILED), unpaid(6, EXPIRED)], PurchaseStatus.FAILED),
        ([unpaid(), unpaid(5, EXPIRED)], PurchaseStatus.EXPIRED),
        ([checkout(status="open")], PurchaseStatus.PENDING),
        ([checkout(how={"type_": EXPIRED})], PurchaseStatus.EXPIRED),
        ([checkout(how={"type_": FAILED})], PurchaseStatus.FAILED),
    ],
)
def test_the_status_of_a_checkout_is_paid_once_any_event_grants(
    facts: list[Fact], status: PurchaseStatus
) -> None:
    assert state(*facts).status is status
    assert (state(*facts).granted is not None) is (status is PurchaseStatus.PAID)


def test_the_money_of_a_checkout_is_that_of_its_newest_paid_event_since_its_first() -> None:
    paid = state(checkout(5, amount_total=100), checkout(9, amount_total=200), unpaid(12))

    assert paid.money == (200, "usd", at(5))


def test_a_free_checkout_brings_no_money() -> None:
    assert state(checkout(payment_status="no_payment_required")).money is None


def test_a_checkout_without_a_currency_has_money_of_none() -> None:
    assert state(checkout(currency=None)).money == (2999, "xxx", at(0))


def test_a_checkout_keeps_what_it_named_once() -> None:
    named = checkout(
        5,
        own_created_at=at(2),
        payment_link="plink_1",
        payment_intent="pi_7",
        subscription="sub_7",
        invoice="in_7",
    )

    found = state(named, checkout(9, payment_intent=None))

    assert (found.payment_intent, found.subscription, found.invoice) == ("pi_7", "sub_7", "in_7")
    assert found.by_payment_link
    assert found.user_statements.made_at == at(2)
    assert found.first_at == at(5)
    assert not state(checkout()).by_payment_link


def test_what_each_event_of_a_checkout_states_is_kept_once() -> None:
    found = state(checkout(0), checkout(1), checkout(2, price_id="price_basic"))

    assert [each[0].refs for each in found.stated_before] == [("price_premium",), ("price_basic",)]
    assert found.stated[0].refs == ("price_basic",)


class TestACheckoutThatOnlyTheApiShows:
    OBSERVED: ClassVar = {"type_": OBSERVED}

    def test_is_dated_by_the_second_in_which_it_was_made(self) -> None:
        shown = state(checkout(9_000, own_created_at=at(7), how=self.OBSERVED))

        assert shown.granted is not None
        assert (shown.granted.since, shown.first_at) == (at(7), at(7))
        assert shown.money == (2999, "usd", at(7))

    def test_is_dated_by_the_answer_if_it_does_not_say_when_it_was_made(self) -> None:
        assert state(checkout(9_000, how=self.OBSERVED)).first_at == at(9_000)

    def test_is_dated_by_the_event_once_one_is_known(self) -> None:
        shown = checkout(9_000, own_created_at=at(7), how=self.OBSERVED)

        assert state(shown, checkout(20, own_created_at=at(7))).money == (2999, "usd", at(20))

    def test_has_expired_if_it_says_so(self) -> None:
        shown = checkout(payment_status="unpaid", status="expired", how=self.OBSERVED)

        assert state(shown).status is PurchaseStatus.EXPIRED
