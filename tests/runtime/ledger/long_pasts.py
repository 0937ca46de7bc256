"""Random pasts of one customer with many payments, of which everything old may be archived.

The facts are those of ``fact_worlds``, about several numbered payments, at several times.
"""

import json
import re
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from billing.catalogue import read_catalogue
from billing.facts import Fact, LinkFields
from billing.ids import EventId, ObjectKey, object_key, realm_in
from ops.samples.worlds.world import World
from tests.billing import fact_worlds
from tests.runtime.ledger.party_in_memory import StatedEvent

PASSES = read_catalogue(
    {
        "plans": {
            "premium": {
                "prices": ["price_premium", "plink_premium"],
                "grace_days": 7,
                "features": {"max_devices": 5},
                "lasts_days": 30,
            },
            "basic": {"prices": ["price_basic"], "features": {"max_devices": 1}},
            "team": {"prices": ["price_team"], "features": {"max_devices": 2}},
        },
        "identity": {"user_from": ["client_reference_id", "metadata"]},
    }
)
"""Plans of which one lasts some days, and other words that name a user first."""

_NUMBERED = re.compile(r"\b(pi|ch|cs|in|re|dp|inpay|cn)_(\d)\b")
_OF_PAYMENTS = re.compile(rb"\b(evt|pi|ch|cs_test|in|re|dp|inpay|cn|il|ii)_(?=[a-z]*[A-Z0-9])")
_SECONDS = re.compile(rb"(?<=[ :\[])1[67]\d{8}(?=[,}\] ])")
_REFERRING = (
    "payment_intent",
    "subscription",
    "invoice",
    "payment_refs",
    "charge",
    "payment_ref",
    "latest_invoice",
    "target",
)

FACTS = (
    fact_worlds.subscriptions()
    | fact_worlds.checkouts()
    | fact_worlds.attempts()
    | fact_worlds.returns()
    | fact_worlds.bills()
    | fact_worlds.CREDIT_NOTES
    | fact_worlds.CUSTOMERS
    | fact_worlds.SUMMARIES
    | fact_worlds.LINKS
)


def numbered(value: Any, number: int, later: timedelta) -> Any:
    """Return the value about other payments, and at a later time."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {each.name: getattr(value, each.name) for each in fields(value)}
        return replace(value, **{k: numbered(v, number, later) for k, v in named.items()})
    if isinstance(value, tuple):
        return tuple(numbered(each, number, later) for each in value)
    if isinstance(value, datetime):
        return value + later
    return _renamed(value, number) if type(value) is str else value


def _renamed(text: str, number: int) -> str:
    return _NUMBERED.sub(rf"\g<1>_{number:08}\g<2>", text)


def with_mentions(fact: Fact) -> Fact:
    """Return the fact naming every object that its fields refer to, as readers do."""
    stated = [getattr(fact.fields, name, None) for name in _REFERRING]
    named = [one for each in stated for one in (each if isinstance(each, tuple) else (each,))]
    keys = [object_key(realm_in(fact.object_key), one) for one in (fact.customer_id, *named) if one]
    return replace(fact, mentions=tuple(dict.fromkeys((fact.object_key, *keys))))


@st.composite
def facts(draw: st.DrawFn, gap: timedelta) -> Fact:
    """Draw a fact about one of several payments."""
    number = draw(st.integers(0, 6))
    fact = numbered(draw(FACTS), number, number * gap)
    if hasattr(fact.fields, "order_reference"):
        cut = draw(st.sampled_from([None, None, 3 + 8, 3 + 9]))
        if cut:
            named = f"in_{draw(st.integers(0, 6)):08}{draw(st.integers(1, 2))}"[:cut]
            fact = replace(fact, fields=replace(fact.fields, order_reference=named))
    if hasattr(fact.fields, "latest_invoice"):
        named = f"in_{number:08}{draw(st.integers(1, 2))}"
        latest = draw(st.sampled_from([None, named]))
        fact = replace(fact, fields=replace(fact.fields, latest_invoice=latest))
    if isinstance(fact.fields, LinkFields):
        # A link has one target for ever, so that of another payment is another link.
        fact = replace(fact, object_key=ObjectKey(f"{fact.object_key}_{number}"))
    return with_mentions(fact)


@st.composite
def pasts(draw: st.DrawFn, size: int = 36) -> list[StatedEvent]:
    """Draw events of one or two facts each, in any order, some of them again."""
    gap = timedelta(seconds=draw(st.sampled_from([0, 20, 3000, 40 * 86_400])))
    drawn = draw(st.lists(facts(gap), min_size=size // 3, max_size=size))
    at_once = draw(st.sampled_from([1, 1, 2]))
    events = []
    for number, start in enumerate(range(0, len(drawn), at_once)):
        some = drawn[start : start + at_once]
        named = {fact.object_key: _of_event(fact, number, some[0].created_at) for fact in some}
        events.append(StatedEvent(facts=tuple(named.values())))
    return events


def _of_event(fact: Fact, number: int, at: datetime) -> Fact:
    return replace(fact, event_id=EventId(f"evt_{number * 7919 % 1009:04}"), created_at=at)


def repeated(world: World, random: Random) -> list[bytes]:
    """Return the bodies of a world's events, by time, with further payments of its customers.

    What happened then happened before, under other ids, several times.
    """
    times = random.choice([1, 2, 5])
    gap = random.choice([1, 3000, 40 * 86_400])
    bodies = [each.body for each in world.events]
    if random.random() < 0.5:
        again = [each.body for each in world.events if not each.type.startswith("customer.")]
    else:
        again = bodies
    past = [_earlier(each, number, number * gap) for number in range(1, times) for each in again]
    return sorted([*past, *bodies], key=created)


def created(body: bytes) -> int:
    """Return the time of an event."""
    at: int = json.loads(body)["created"]
    return at


def _earlier(body: bytes, number: int, seconds: int) -> bytes:
    """Return an event about other payments of the same customer, so many seconds before."""
    named = _OF_PAYMENTS.sub(rb"\g<1>_%d" % number, body)
    return _SECONDS.sub(lambda found: b"%d" % (int(found.group()) - seconds), named)
