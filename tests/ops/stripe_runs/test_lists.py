"""Every list is one that Stripe's library knows, with parameters that it takes."""

import re
from typing import Any, Final

import pytest
from stripe.params import (
    ChargeListParams,
    CreditNoteListParams,
    CustomerListParams,
    DisputeListParams,
    EventListParams,
    InvoiceListParams,
    PaymentIntentListParams,
    RefundListParams,
    SubscriptionListParams,
)
from stripe.params.checkout import SessionListParams
from stripe.params.entitlements import FeatureListParams

from billing.facts import Kind
from billing.families import FAMILIES
from ops.stripe_runs.lists import (
    EVENTS,
    FEATURES,
    OBJECT_LISTS,
    OF_PAYMENT,
    Span,
    StripeList,
    page_request,
)

PARAMS: Final[dict[str, Any]] = {
    "customers": CustomerListParams,
    "subscriptions": SubscriptionListParams,
    "checkouts": SessionListParams,
    "invoices": InvoiceListParams,
    "payment_intents": PaymentIntentListParams,
    "charges": ChargeListParams,
    "refunds": RefundListParams,
    "disputes": DisputeListParams,
    "credit_notes": CreditNoteListParams,
    "events": EventListParams,
    "features": FeatureListParams,
}
LISTS = (*OBJECT_LISTS, EVENTS, FEATURES)
of_each = pytest.mark.parametrize("listed", LISTS, ids=lambda each: each.name)


def parameters(request: str) -> set[str]:
    return {re.split(r"[=\[]", word)[0] for word in request.partition("?")[2].split("&")}


@of_each
def test_a_list_takes_every_parameter_that_is_sent(listed: StripeList) -> None:
    request = page_request(listed, Span(oldest=1, newest=2), after="x")
    takes = PARAMS[listed.name].__annotations__

    assert parameters(request) <= takes.keys()
    assert listed.has_created == ("created" in takes)


@of_each
def test_a_list_is_limited_to_a_customer_exactly_where_stripe_can(listed: StripeList) -> None:
    takes = PARAMS[listed.name].__annotations__

    assert (listed.of_customer == "customer") == ("customer" in takes)
    if listed in OF_PAYMENT:
        assert {"payment_intent", "charge"} <= takes.keys()


def test_every_kind_of_object_that_the_api_retrieves_is_in_a_list() -> None:
    """Count payments of invoices as part of these; features have no path."""
    retrieved = {family.stripe_name for family in FAMILIES.values() if family.path}

    listed = {each.family for each in OBJECT_LISTS}

    assert listed == retrieved - {FAMILIES[Kind.INVOICE_PAYMENT].stripe_name}


def test_the_path_of_a_list_is_that_of_its_objects_without_an_id() -> None:
    paths = {family.stripe_name: family.path or "" for family in FAMILIES.values()}

    assert [each.path for each in OBJECT_LISTS] == [
        paths[each.family].partition("/{}")[0] for each in OBJECT_LISTS
    ]


def test_what_an_object_expands_is_expanded_in_its_list_too() -> None:
    for family in FAMILIES.values():
        expanded = re.findall(r"expand\[\]=(\w+)", family.path or "")
        listed = [each for each in OBJECT_LISTS if each.family == family.stripe_name]
        for each in listed:
            assert [*each.query] == [
                *(word for word in each.query if "expand" not in word),
                *(f"expand[]=data.{name}" for name in expanded),
            ]


def test_ended_subscriptions_are_listed() -> None:
    (subscriptions,) = [each for each in OBJECT_LISTS if each.name == "subscriptions"]

    assert "status=all" in page_request(subscriptions, Span())


def test_values_are_written_as_in_a_url() -> None:
    limited = EVENTS.where(("types[]", "a.b"), ("types[]", "c d"), delivery_success="false")

    request = page_request(limited, Span(newest=9), after="evt_/1", size=1)

    assert request == (
        "/v1/events?types[]=a.b&types[]=c%20d&delivery_success=false&limit=1&created[lte]=9"
        "&starting_after=evt_%2F1"
    )
