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
    without_releases,
)
from runtime.json_text import write_json

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
DAY, NEXT_DAY = date(2026, 11, 3), date(2026, 11, 4)
SECOND = int(NOON.timestamp())
RECEIVED = TotalKey(currency="eur", day=DAY, status=MoneyStatus.RECEIVED)
REFUNDED = TotalKey(currency="eur", day=DAY, status=MoneyStatus.REFUNDED)


def observed(family: str, **members: Any) -> ApiObservation:
    body = {"id": "x_1", "object": family, "currency": "eur", "created": SECOND, **members}
    return ApiObservation(
        family=family,
        object_id="x_1",
        asked_at=NOON,
        api_version=None,
        gone=False,
        payload=write_json(body, str),
    )


def total(family: str, **members: Any) -> dict[TotalKey, int]:
    facts = read_observation(Realm("live"), observed(family, **members))
    return dict(without_releases(totals_of([facts])))


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


def refund_line(day: date, charge: str = "ch_1") -> TotalKey:
    return TotalKey(currency="eur", day=day, status=MoneyStatus.REFUNDED, charge=charge)


def test_a_refund_that_released_what_was_never_captured_is_no_refund() -> None:
    at_most = TotalKey(currency="eur", day=DAY, status=MoneyStatus.AT_MOST, charge="ch_1")
    refunds = {refund_line(DAY): 250, refund_line(NEXT_DAY): 400, refund_line(DAY, "ch_2"): 7}
    known = totals_from_json(totals_to_json({**refunds, at_most: 250, RECEIVED: 600}))

    assert without_releases(known) == {RECEIVED: 600, REFUNDED: 257}
    assert without_releases({**refunds, at_most: 650})[REFUNDED] == 257
    assert without_releases({refund_line(DAY): 400, at_most: 0}) == {}


def test_a_charge_of_which_a_part_was_never_captured_bounds_its_refunds() -> None:
    charge = {"status": "succeeded", "captured": True, "amount": 1000, "amount_captured": 600}
    facts = read_observation(Realm("live"), observed("charge", amount_refunded=500, **charge))

    (at_most,) = [
        (line.charge, amount)
        for line, amount in totals_of([facts]).items()
        if line.status is MoneyStatus.AT_MOST
    ]
    assert at_most == ("x_1", 100)


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
