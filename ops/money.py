"""Amounts as people write them. Stripe counts in the smallest unit of each currency."""

from typing import Final

_WHOLE: Final = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
_THOUSANDTHS: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def money(amount_minor: int, currency: str) -> str:
    """The amount in the unit that people count in, exactly."""
    digits = 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2
    whole, rest = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{sign}{whole}{fraction} {currency.upper()}"
