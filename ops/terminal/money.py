"""Format amounts of money as Stripe counts them; every display of an amount comes from here. Pure.

Stripe counts in a currency's smallest unit, with exceptions
(https://docs.stripe.com/currencies#minor-units and `#special-cases`). This module says in what
Stripe counts, which is not always what ISO 4217 says.
"""

from typing import Final

_WHOLE_UNITS: Final = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
"""Stripe's zero-decimal currencies: 500 is 500 JPY."""

_THOUSANDTHS: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
"""Stripe's three-decimal currencies: 5120 is 5.120 KWD."""

_HUNDREDTHS_FOR_COMPATIBILITY: Final = frozenset({"huf", "isk", "twd", "ugx"})
"""Stripe's special cases: 500 is 5.00 ISK or UGX, though neither has a smaller unit any more.

HUF and TWD have no decimals in payouts, and their amounts, too, are stated in hundredths.
"""


def decimals(currency: str) -> int:
    """Return the number of decimals in which Stripe states amounts of a currency, in any case."""
    code = currency.lower()
    if code in _HUNDREDTHS_FOR_COMPATIBILITY:
        return 2
    if code in _WHOLE_UNITS:
        return 0
    return 3 if code in _THOUSANDTHS else 2


def format_money(amount_minor: int, currency: str) -> str:
    """Return the exact amount in the unit that people count in, and the currency."""
    places = decimals(currency)
    whole, rest = divmod(abs(amount_minor), 10**places)
    sign = "-" if amount_minor < 0 else ""
    fraction = f".{rest:0{places}}" if places else ""
    return f"{sign}{whole}{fraction} {currency.upper()}"


def format_payment(amount_minor: int, refunded_minor: int, currency: str, status: str) -> str:
    """Return the amount and status of a payment, and how much of it was refunded."""
    back = f", {format_money(refunded_minor, currency)} refunded" if refunded_minor else ""
    return f"{format_money(amount_minor, currency)} {status}{back}"
