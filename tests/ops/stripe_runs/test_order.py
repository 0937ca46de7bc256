"""Refunds come before charges, charges before intents, and both before bills."""

from ops.stripe_runs.order import place_of


def test_what_dates_money_comes_before_what_sums_it_up() -> None:
    names = [
        ("invoice", "in_1"),
        ("payment_intent", "pi_1"),
        ("charge", "ch_2"),
        ("charge", "ch_1"),
        ("refund", "re_1"),
        ("customer", "cus_1"),
    ]

    found = [stripe_id for _, stripe_id in sorted(names, key=place_of)]

    assert found == ["cus_1", "re_1", "ch_1", "ch_2", "pi_1", "in_1"]
