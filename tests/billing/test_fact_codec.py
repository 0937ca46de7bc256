"""Facts return from the database unchanged."""

import json
from dataclasses import fields as members_of
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.fact_codec import fact_from_json, fact_to_json
from billing.facts import (
    FIRST_READER,
    READER_NUMBER,
    ChargeFields,
    CheckoutSessionFields,
    CollectionPause,
    CreditedLine,
    CreditNoteFields,
    CustomerFields,
    DisputeFields,
    EntitlementSummaryFields,
    Fact,
    Fields,
    GrantedFeatures,
    GrantFields,
    InvoiceFields,
    InvoicePaymentFields,
    Item,
    Kind,
    Line,
    LinkFields,
    Metadata,
    PaymentIntentFields,
    Rank,
    RefundFields,
    SubscriptionFields,
)
from billing.families import FAMILIES
from billing.ids import CustomerId, EventId, ObjectKey
from tests.billing.fact_builders import CREDIT_NOTE, INVOICE, make_fact

SHAPES: dict[Kind, type[Fields]] = {
    Kind.CUSTOMER: CustomerFields,
    Kind.SUBSCRIPTION: SubscriptionFields,
    Kind.CHECKOUT_SESSION: CheckoutSessionFields,
    Kind.PAYMENT_INTENT: PaymentIntentFields,
    Kind.CHARGE: ChargeFields,
    Kind.REFUND: RefundFields,
    Kind.DISPUTE: DisputeFields,
    Kind.INVOICE: InvoiceFields,
    Kind.INVOICE_PAYMENT: InvoicePaymentFields,
    Kind.CREDIT_NOTE: CreditNoteFields,
    Kind.ENTITLEMENT_SUMMARY: EntitlementSummaryFields,
    Kind.LINK: LinkFields,
    Kind.GRANT: GrantFields,
}

moments = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
    timezones=st.just(UTC),
)
st.register_type_strategy(datetime, moments)


def _fields_of(shape: type[Fields]) -> st.SearchStrategy[Fields]:
    """Return fields whose pairs name each key once and are sorted, as they are written."""
    pairs: dict[Any, st.SearchStrategy[Any]] = {
        Metadata: _pairs(st.text()),
        GrantedFeatures: _pairs(st.booleans() | st.integers()),
    }
    drawn = {each.name: pairs[each.type] for each in members_of(shape) if each.type in pairs}
    return st.builds(shape, **drawn)


def _pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.text(), values, max_size=3).map(
        lambda pairs: tuple(sorted(pairs.items()))
    )


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    kind = draw(st.sampled_from(Kind))
    shape = _fields_of(SHAPES[kind])
    return Fact(
        kind=kind,
        object_key=ObjectKey(draw(st.text())),
        event_id=EventId(draw(st.text())),
        event_type=draw(st.text()),
        created_at=draw(moments),
        rank=draw(st.sampled_from(Rank)),
        fields=draw(shape),
        before=draw(st.none() | shape),
        customer_id=draw(st.none() | st.text().map(CustomerId)),
        mentions=tuple(ObjectKey(key) for key in draw(st.lists(st.text(), max_size=3))),
        reader=draw(st.integers(1, 9)),
    )


@given(facts())
def test_a_fact_comes_back_as_it_was_written(fact: Fact) -> None:
    assert fact_from_json(json.loads(json.dumps(fact_to_json(fact)))) == fact


AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
PERIOD: dict[str, Any] = {"period_start": AT, "period_end": AT}
NAMES: dict[str, Any] = {"price": "price_1", "lookup_key": None, "product": None}
PAUSED = SubscriptionFields(
    status="active",
    items=(Item(id="si_1", quantity=2, **NAMES, **PERIOD), Item(quantity=1, **NAMES, **PERIOD)),
    cancel_at=AT,
    cancel_at_period_end=False,
    started_at=AT,
    ended_at=None,
    trial_end=None,
    pause=CollectionPause(behavior="void", resumes_at=AT),
)
BILLED = replace(INVOICE, lines=(Line(id="il_1", amount=-5, **NAMES, **PERIOD),), paid_at=AT)
CREDITED = replace(
    CREDIT_NOTE,
    lines=(CreditedLine(invoice_line="il_1", amount=5, quantity=None),),
    refunds=("re_1", "re_2"),
)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(Kind.SUBSCRIPTION, PAUSED), (Kind.INVOICE, BILLED), (Kind.CREDIT_NOTE, CREDITED)],
)
def test_what_a_fact_holds_in_its_lists_comes_back_too(kind: Kind, fields: Fields) -> None:
    fact = make_fact(kind, "x_1", fields, 0, before=fields)

    assert fact_from_json(json.loads(json.dumps(fact_to_json(fact)))) == fact


def test_an_item_is_stored_with_what_it_states_and_no_default() -> None:
    stored = fact_to_json(make_fact(Kind.SUBSCRIPTION, "sub_1", PAUSED, 0))["fields"]

    moment = "2026-11-21T09:30:00+00:00"
    assert stored["items"][1] == {
        "price": "price_1",
        "lookup_key": None,
        "product": None,
        "quantity": 1,
        "period_end": moment,
        "period_start": moment,
    }
    assert stored["pause"] == {"behavior": "void", "resumes_at": moment}


def test_every_kind_of_fact_can_be_written() -> None:
    assert set(SHAPES) == set(Kind)


@pytest.fixture
def customer() -> Fact:
    return Fact(
        kind=Kind.CUSTOMER,
        object_key=ObjectKey("test:cus_1"),
        event_id=EventId("evt_1"),
        event_type="customer.updated",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        rank=Rank.UPDATED,
        fields=CustomerFields(metadata=(("user_id", "usr_1"),), deleted=False),
        before=None,
        customer_id=CustomerId("cus_1"),
        mentions=(ObjectKey("test:cus_1"),),
    )


def test_a_stored_fact_can_be_read_by_a_person(customer: Fact) -> None:
    assert fact_to_json(customer) == {
        "kind": "customer",
        "object_key": "test:cus_1",
        "event_id": "evt_1",
        "event_type": "customer.updated",
        "created_at": "2026-11-21T00:00:00+00:00",
        "rank": 1,
        "fields": {"deleted": False, "metadata": {"user_id": "usr_1"}},
        "before": None,
        "customer_id": "cus_1",
        "mentions": ["test:cus_1"],
        "reader": READER_NUMBER,
    }


def test_a_fact_without_a_number_was_written_by_the_first_reader(customer: Fact) -> None:
    document = fact_to_json(customer)
    del document["reader"]

    assert fact_from_json(document).reader == FIRST_READER


def test_a_member_that_a_fact_no_longer_has_is_passed_over(customer: Fact) -> None:
    document = fact_to_json(customer)
    document["fields"]["shoe_size"] = 42

    assert fact_from_json(document) == customer


MEMBERS_READ: Final = {2: "0991dfe0209aa449", 3: "511cae6597b448a3"}
"""A digest of the members that facts of Stripe's objects have, by the number of the readers."""


def test_a_member_that_facts_get_raises_the_number_of_the_readers() -> None:
    shapes = {
        shape
        for family in FAMILIES.values()
        for shape in (family.fields, Item, Line, CollectionPause, CreditedLine)
    }
    members = sorted(
        f"{each.__name__}.{member.name}" for each in shapes for member in members_of(each)
    )

    digest = sha256(" ".join(members).encode()).hexdigest()[:16]

    assert MEMBERS_READ.get(READER_NUMBER) == digest, (
        "raise READER_NUMBER: facts that are stored have other members"
    )
