"""Facts in words: what an event states, without what it leaves open."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from billing.errors import BillingError
from billing.fact_codec import fact_to_json
from billing.fetching.record import Fetched
from billing.ids import ObjectKey, stripe_id_of
from billing.readers.registry import read
from ops.terminal.formats import money, stamp
from runtime.event_body import parse

_NOTHING: tuple[object, ...] = (None, False, "", [], {})


def facts_in(
    body: bytes, fetched: Fetched | None = None
) -> tuple[tuple[Mapping[str, Any], ...], str | None]:
    """What a body states, or will state once it is applied; else why it states nothing."""
    try:
        reading = read(parse(body), fetched)
    except BillingError as error:
        return (), str(error)
    ignored = reading.ignored and reading.ignored.value
    return tuple(fact_to_json(fact) for fact in reading.facts), ignored


def tell(fact: Mapping[str, Any]) -> str:
    """One stored fact as a line: the object, then every field that says something."""
    kind = str(fact["kind"]).replace("_", " ")
    about = f"{kind} {stripe_id_of(ObjectKey(fact['object_key']))}"
    customer = fact.get("customer_id")
    of = f" of {customer}" if customer and fact["kind"] != "customer" else ""
    said = "; ".join(_fields(fact["fields"]))
    return f"{about}{of}: {said or 'nothing further'}"


def _fields(fields: Mapping[str, Any]) -> Iterator[str]:
    currency = fields.get("currency")
    for name, value in fields.items():
        if value in _NOTHING or name == "currency":
            continue
        words = name.replace("_", " ")
        if value is True:
            yield words
        elif "amount" in name and isinstance(value, int) and currency:
            yield f"{words} {money(value, currency)}"
        else:
            yield f"{words} {_value(value)}"


def _value(value: object) -> str:
    match value:
        case {"quantity": quantity, **rest}:
            ends = f" until {_value(rest['period_end'])}" if rest.get("period_end") else ""
            named = rest.get("price") or rest.get("lookup_key") or rest.get("product")
            return f"{quantity} x {named or 'no price'}{ends}"
        case list():
            return ", ".join(map(_value, value))
        case str():
            return _time(value) or value
        case _:
            return str(value)


def _time(text: str) -> str | None:
    """A time as the codec wrote it; ids and words are none."""
    try:
        return stamp(datetime.fromisoformat(text)) if "T" in text and "+" in text else None
    except ValueError:
        return None
