"""Facts of an event in words, without the fields it leaves open."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from billing.errors import BillingError
from billing.fact_codec import fact_to_json
from billing.fetching.observations import Observations
from billing.ids import ObjectKey, stripe_id_of
from billing.readers.registry import read_event
from ops.terminal.formats import format_time
from ops.terminal.money import format_money
from ops.terminal.output import print_text
from runtime.event_body import parse

_NOTHING: tuple[object, ...] = (None, False, "", [], {})


def read_facts(
    body: bytes, observations: Observations | None = None
) -> tuple[tuple[Mapping[str, Any], ...], str | None]:
    """Return the facts that a body states, and the reason if there are none."""
    try:
        reading = read_event(parse(body), observations)
    except BillingError as error:
        return (), str(error)
    ignored = reading.ignored and reading.ignored.value
    return tuple(fact_to_json(fact) for fact in reading.facts), ignored


def print_facts(
    heading: str, facts: Iterable[Mapping[str, Any]], no_facts_reason: str | None
) -> None:
    """Print a heading and one line for each fact, or the reason if there are none."""
    print_text(f"\n{heading}", style="bold")
    lines = [describe_fact(fact) for fact in facts]
    for line in lines or [f"nothing ({no_facts_reason})" if no_facts_reason else "nothing"]:
        print_text(line, indent=2)


def describe_fact(fact: Mapping[str, Any]) -> str:
    """Return one stored fact as a line: the object, then every field that is set."""
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
            yield f"{words} {format_money(value, currency)}"
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
        case dict():
            return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
        case str():
            return _time(value) or value
        case _:
            return str(value)


def _time(text: str) -> str | None:
    """Format a time as the codec wrote it; return None for any other text."""
    try:
        return format_time(datetime.fromisoformat(text)) if "T" in text and "+" in text else None
    except ValueError:
        return None
