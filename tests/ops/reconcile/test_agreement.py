"""The sentence of a statement of agreement, and its form as JSON."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

from ops.reconcile.agreement import (
    AgreedSum,
    Agreement,
    read_agreement,
    words_of,
)
from ops.reconcile.differences import DifferenceClass, DifferenceState
from ops.reconcile.totals import DifferingDay, MoneyStatus

AGREED = Agreement(
    realm="live",
    as_of=datetime(2026, 11, 3, 12, tzinfo=UTC),
    parts=("objects",),
    whole=True,
    subscriptions=50,
    payments=1200,
    sums=(AgreedSum(currency="eur", payments=1200, received=1_080_000, refunded=900),),
    events=None,
    differ={},
    days=(),
    not_compared=(),
)
DAY = DifferingDay(
    currency="eur", day=date(2026, 11, 2), status=MoneyStatus.RECEIVED, ours=900, theirs=1800
)


def test_agreement_names_subscriptions_payments_their_sum_and_the_second() -> None:
    assert AGREED.agrees
    assert AGREED.sentence == (
        "Stripe and Paidup agree on 50 subscriptions and 1200 payments,"
        " sum 10800.00 EUR less 9.00 EUR, as of 2026-11-03 12:00:00Z. 0 differ."
    )


def test_events_that_were_compared_are_named_first() -> None:
    counted = replace(AGREED, events=300)

    assert "agree on 300 events, 50 subscriptions and 1200 payments" in counted.sentence


def test_differences_are_counted_by_class_the_worst_first() -> None:
    differing = replace(
        AGREED,
        differ={
            DifferenceClass.STALE_HERE: {DifferenceState.LEFT: 1},
            DifferenceClass.PAID_NOT_GRANTED: {
                DifferenceState.STANDS: 2,
                DifferenceState.MOVING: 3,
                DifferenceState.REPAIRED: 4,
            },
        },
    )

    assert (differing.differing, differing.moving, differing.repaired) == (3, 3, 4)
    assert "3 differ, because 2 paid and not granted, 1 stale here." in differing.sentence
    assert "4 differences repaired in this run. 3 moving, not counted" in differing.sentence
    assert not differing.agrees


def test_what_moves_or_was_repaired_is_no_disagreement() -> None:
    moving = {DifferenceState.MOVING: 1, DifferenceState.REPAIRED: 1}

    assert replace(AGREED, differ={DifferenceClass.AMOUNTS: moving}).agrees


def test_a_day_whose_totals_differ_is_named_and_is_a_disagreement() -> None:
    differing = replace(AGREED, days=(DAY,) * 7)

    assert not differing.agrees
    assert "2026-11-02 (received 9.00 EUR here, 18.00 EUR at Stripe)" in differing.sentence
    assert "and 5 more." in differing.sentence


def test_the_sentence_says_that_parts_were_not_compared() -> None:
    left_out = ("Refunds: the key may not read them.", "totals by day")

    assert replace(AGREED, not_compared=left_out).sentence.endswith("2 parts not compared.")


def test_a_company_without_payments_agrees_without_money() -> None:
    assert "0 payments, without any money" in replace(AGREED, payments=0, sums=()).sentence


def test_a_statement_is_the_same_when_read_back() -> None:
    statement = replace(
        AGREED,
        events=4,
        differ={DifferenceClass.AMOUNTS: {DifferenceState.STANDS: 1}},
        days=(DAY,),
        not_compared=("Refunds: the key may not read them.",),
    )

    document = json.loads(json.dumps(statement.document()))

    assert read_agreement(document) == statement
    assert document["says"] == statement.sentence
    assert document["agrees"] is False


def test_every_class_has_words() -> None:
    assert len({words_of(each) for each in DifferenceClass}) == len(DifferenceClass)
