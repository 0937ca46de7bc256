"""Sums of Stripe's lists, and the days on which they differ from ours."""

from datetime import UTC, date, datetime
from typing import Any

from billing.fetching.observations import ApiObservation
from billing.ids import Realm
from billing.readers.registry import read_observation
from ops.reconcile.totals import (
    DifferingDay,
    MoneyStatus,
    TotalKey,
    differing_days,
    totals_from_json,
    totals_of,
    totals_to_json,
)
from runtime.json_text import write_json

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
DAY, NEXT_DAY = date(2026, 11, 3), date(2026, 11, 4)
SECOND = int(NOON.timestamp())
RECEIVED = TotalKey(currency="eur", day=DAY, status=MoneyStatus.RECEIVED)
REFUNDED = TotalKey(currency="eur", day=DAY, status=MoneyStatus.REFUNDED)


def total(family: str, **members: Any) -> dict[TotalKey, int]:
    body = {"id": "x_1", "object": family, "currency": "eur", "created": SECOND, **members}
    observation = ApiObservation(
        family=family,
        object_id="x_1",
        asked_at=NOON,
        api_version=None,
        gone=False,
        payload=write_json(body, str),
    )
    return dict(totals_of([read_observation(Realm("live"), observation)]))


def test_a_charge_counts_with_what_was_captured_on_the_day_of_the_charge() -> None:
    charge = {"status": "succeeded", "captured": True, "amount": 900, "amount_captured": 800}

    assert total("charge", **charge) == {RECEIVED: 800}


def test_what_was_only_authorised_or_failed_is_not_received() -> None:
    assert total("charge", status="succeeded", captured=False, amount=900) == {}
    assert total("charge", status="failed", captured=True, amount=900) == {}


def test_only_a_refund_that_succeeded_counts() -> None:
    assert total("refund", status="succeeded", amount=300) == {REFUNDED: 300}
    assert total("refund", status="pending", amount=300) == {}
    assert total("refund", status="failed", amount=300) == {}


def test_an_invoice_counts_if_no_payment_through_stripe_pays_it() -> None:
    bill = {"status": "paid", "amount_paid": 500, "status_transitions": {"paid_at": SECOND}}

    assert total("invoice", **bill, payment_intent="pi_1") == {}
    assert total("invoice", **bill, paid_out_of_band=True) == {RECEIVED: 500}
    assert total("invoice", **(bill | {"status": "open"})) == {}


def test_an_invoice_counts_with_what_its_payments_through_stripe_do_not_cover() -> None:
    bill = {"status": "paid", "amount_paid": 900, "status_transitions": {"paid_at": SECOND}}
    paid = [
        _payment_of_bill("inpay_1", 300, {"type": "payment_intent", "payment_intent": "pi_1"}),
        _payment_of_bill("inpay_2", 200, {"type": "payment_intent", "payment_intent": "pi_2"}),
        _payment_of_bill("inpay_3", 400, {"type": "payment_record", "payment_record": "pr_1"}),
    ]

    assert total("invoice", **bill, payments={"data": paid}) == {RECEIVED: 400}


def _payment_of_bill(stripe_id: str, amount: int, payment: dict[str, str]) -> dict[str, Any]:
    return {
        "id": stripe_id,
        "object": "invoice_payment",
        "status": "paid",
        "amount_paid": amount,
        "currency": "eur",
        "invoice": "x_1",
        "payment": payment,
    }


def test_a_credit_note_counts_with_what_was_given_back_outside_stripe() -> None:
    note = {"status": "issued", "out_of_band_amount": 200, "total": 700, "invoice": "in_1"}

    assert total("credit_note", **note) == {REFUNDED: 200}
    assert total("credit_note", **note, voided_at=SECOND) == {}


def test_the_days_that_differ_are_named_with_both_sides() -> None:
    ours = {RECEIVED: 900, REFUNDED: 100}
    theirs = {RECEIVED: 900, REFUNDED: 300}

    assert differing_days(ours, theirs, before=NEXT_DAY) == (
        DifferingDay(currency="eur", day=DAY, status=MoneyStatus.REFUNDED, ours=100, theirs=300),
    )


def test_a_line_of_one_side_alone_differs() -> None:
    (day,) = differing_days({}, {RECEIVED: 900}, before=NEXT_DAY)

    assert (day.ours, day.theirs) == (0, 900)


def test_a_day_that_is_not_over_or_was_not_read_whole_is_left_out() -> None:
    assert differing_days({}, {RECEIVED: 900}, before=DAY) == ()
    assert differing_days({}, {RECEIVED: 900}, since=NEXT_DAY, before=date(2026, 12, 1)) == ()


def test_totals_are_the_same_when_read_back_and_add_up() -> None:
    totals = {RECEIVED: 900, REFUNDED: 100}

    document = totals_to_json(totals)

    assert totals_from_json(document) == totals
    assert totals_from_json([*document, *document])[RECEIVED] == 1800
