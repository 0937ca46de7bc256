import pytest

from ops.terminal.formats import format_money


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (2999, "usd", "29.99 USD"),
        (5, "eur", "0.05 EUR"),
        (-150, "usd", "-1.50 USD"),
        (500, "jpy", "500 JPY"),
        (1234, "kwd", "1.234 KWD"),
        (9_007_199_254_740_993, "usd", "90071992547409.93 USD"),
    ],
)
def test_an_amount_is_exact_in_the_unit_people_count_in(
    amount: int, currency: str, said: str
) -> None:
    assert format_money(amount, currency) == said
