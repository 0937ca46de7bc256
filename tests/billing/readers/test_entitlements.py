"""Stripe's own features belong to a customer, and a cut list is recognised."""

from typing import Any

import pytest

from billing.facts import EntitlementSummaryFields, Kind
from ops.samples.worlds.records import FeatureList
from tests.billing.event_builders import printed
from tests.billing.readers.read_events import ids, only_fact

TYPE = "entitlements.active_entitlement_summary.updated"


def summary(*lookup_keys: str, **others: Any) -> dict[str, Any]:
    listed: dict[str, Any] = printed(FeatureList(customer="cus_1", keys=lookup_keys))
    return {**listed["entitlements"], **others}


def test_a_summary_is_filed_under_its_customer() -> None:
    fact = only_fact(
        TYPE,
        {"customer": "cus_1", "entitlements": summary("pro", "basic", "pro")},
        previous={"entitlements": {"data": []}},
    )

    assert fact.kind is Kind.ENTITLEMENT_SUMMARY
    assert fact.object_key == "test:entitlements/cus_1"
    assert ids(fact) == {"entitlements/cus_1", "cus_1"}
    assert fact.fields == EntitlementSummaryFields(lookup_keys=("basic", "pro"), complete=True)
    assert fact.before == EntitlementSummaryFields(lookup_keys=(), complete=True)


def test_a_list_that_says_nothing_about_more_is_whole() -> None:
    fact = only_fact(TYPE, {"customer": "cus_1", "entitlements": {"data": []}})

    assert fact.fields == EntitlementSummaryFields(lookup_keys=(), complete=True)


@pytest.mark.parametrize(
    ("entitlements", "lookup_keys"),
    [
        (summary("basic", has_more=True), ("basic",)),
        (summary("basic", has_more="perhaps"), ("basic",)),
        ({"object": "list"}, ()),
        (None, ()),
    ],
)
def test_a_list_that_is_not_known_to_be_whole_is_incomplete(
    entitlements: object, lookup_keys: tuple[str, ...]
) -> None:
    fact = only_fact(TYPE, {"customer": "cus_1", "entitlements": entitlements})

    assert fact.fields == EntitlementSummaryFields(lookup_keys=lookup_keys, complete=False)
