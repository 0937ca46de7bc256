"""A first plans document, drafted from the products, prices and features that Stripe has. Pure.

Stripe knows what is sold and for how much, and not what it gives. The draft has a plan for each
product, and a comment wherever a person has to decide.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from billing.json_fields import (
    Raw,
    currency_in,
    flag_in,
    integer_in,
    object_in,
    price_names_of,
    text_in,
)
from ops.terminal.money import format_money

MOST_PRICES: Final = 20
"""Prices that a plan names one by one; a product with more of them stands for all of its own."""

UNDECIDED: Final = "# DECIDE: "
"""Stands in a line of a draft that a person has not decided yet."""

_LONGEST_CODE: Final = 60
_NO_CODE: Final = re.compile(r"[^a-z0-9]+")
_NAME: Final = re.compile(r"[!-~]{1,100}")

_HEADER: Final = """\
# A draft of your plans, made of Stripe's products, prices and features by `paidup plans draft`.
# Every line with DECIDE needs a person. Then: `paidup plans check FILE`, `paidup plans diff FILE`
# and `paidup plans apply FILE --reason WHY`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftPrice:
    """A price as a draft shows it; ``interval`` is None for a price that is paid once."""

    id: str
    product: str
    active: bool
    interval: str | None
    says: str
    """The amount, the interval and the names that people gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftProduct:
    """A product with its prices in the order of the document, and the lookup keys of features."""

    id: str
    name: str
    prices: tuple[DraftPrice, ...]
    features: tuple[str, ...]


def undecided_lines(text: str) -> list[int]:
    """Return the numbers of the lines of a document that wait for a decision."""
    return [number for number, line in enumerate(text.splitlines(), 1) if UNDECIDED in line]


def read_price(raw: Raw) -> DraftPrice | None:
    """Return a price of Stripe's JSON; None if it names no product or no id."""
    price, product = text_in(raw, "id"), price_names_of({"price": raw})[2]
    if price is None or product is None:
        return None
    recurring = object_in(raw, "recurring")
    interval, count = text_in(recurring, "interval"), integer_in(recurring, "interval_count") or 1
    every = None
    if interval:
        every = interval if count == 1 else f"{count} {interval}s"
    key, nickname = text_in(raw, "lookup_key"), text_in(raw, "nickname")
    named = (f"lookup key {key}" if key else None, nickname)
    words = [_amount(raw), f"every {every}" if every else "paid once", *filter(None, named)]
    active = flag_in(raw, "active")
    return DraftPrice(
        id=price,
        product=product,
        active=active,
        interval=every,
        says=", ".join([*words, *([] if active else ["archived"])]),
    )


def group_products(
    names: Mapping[str, str],
    prices: Iterable[DraftPrice],
    features: Mapping[str, Sequence[str]],
) -> tuple[DraftProduct, ...]:
    """Return the products that have a price: active prices first, then by id.

    ``names`` are those of the products by id; a product that Stripe did not list bears its id.
    """
    by_product: dict[str, list[DraftPrice]] = {}
    for price in prices:
        by_product.setdefault(price.product, []).append(price)
    found = [
        DraftProduct(
            id=product,
            name=names.get(product, product),
            prices=tuple(sorted(listed, key=lambda each: (not each.active, each.id))),
            features=tuple(features.get(product, ())),
        )
        for product, listed in by_product.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.name.lower(), each.id)))


def write_draft(products: Sequence[DraftProduct], *, left_out: int = 0) -> str:
    """Return the document; ``left_out`` counts archived prices that no subscription is on."""
    codes: dict[str, None] = {}
    parts = [_HEADER]
    for product in products:
        code = _free_code(product.name, codes)
        codes[code] = None
        parts.append("\n".join([*_plan(code, product), ""]))
    if left_out:
        parts.append(f"# Left out: {left_out} archived prices that no subscription is on.\n")
    return "\n".join(parts)


def _plan(code: str, product: DraftProduct) -> Iterator[str]:
    yield f"# {_comment(product.name)} ({_comment(product.id)})"
    yield f"[plans.{code}]"
    yield from _prices(product)
    intervals = [each.interval for each in product.prices]
    if any(intervals):
        yield "grace_days = 0 # DECIDE: days of access while a renewal is unpaid"
    if not all(intervals):
        yield "# lasts_days = 365 # DECIDE: days that a purchase lasts; without it, for good"
    yield ""
    yield f"[plans.{code}.features]"
    yield from _features(code, product.features)


def _prices(product: DraftProduct) -> Iterator[str]:
    if len(product.prices) > MOST_PRICES:
        yield (
            f"prices = [{_quoted(product.id)}] # the product stands for its"
            f" {len(product.prices)} prices"
        )
        return
    yield "prices = ["
    for price in product.prices:
        yield f"    {_quoted(price.id)}, # {_comment(price.says)}"
    yield "]"


def _features(code: str, features: Sequence[str]) -> Iterator[str]:
    usable = [name for name in dict.fromkeys(features) if _NAME.fullmatch(name)]
    if not usable:
        yield f"{code} = true # DECIDE: name what it gives; Stripe has no feature of this product"
    for name in usable:
        yield f"{_quoted(name)} = true # DECIDE: true, or a number such as 5"
    for name in features:
        if name not in usable:
            yield f"# DECIDE: no feature can be named {_comment(name)}"


def _free_code(name: str, taken: Mapping[str, None]) -> str:
    """Return the code of a plan: the product's name in small letters, with a number if taken."""
    wanted = _NO_CODE.sub("_", name.lower()).strip("_")[:_LONGEST_CODE] or "plan"
    code, number = wanted, 1
    while code in taken:
        number += 1
        code = f"{wanted}_{number}"
    return code


def _amount(raw: Raw) -> str:
    amount = integer_in(raw, "unit_amount")
    return "no fixed amount" if amount is None else format_money(amount, currency_in(raw))


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which escapes as JSON does."""
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    """Return the text without what would end a comment or repaint a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
