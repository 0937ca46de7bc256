"""Reads one event and asserts on its facts."""

from typing import Any

from billing.facts import Fact
from billing.readers.registry import read_event
from tests.billing.event_builders import event


def facts(event_type: str, stated: dict[str, Any], *, previous: Any = None) -> tuple[Fact, ...]:
    """Return every fact of an event with this object."""
    reading = read_event(event(event_type, stated, previous=previous))
    assert reading.ignored is None
    return reading.facts


def only_fact(event_type: str, stated: dict[str, Any], *, previous: Any = None) -> Fact:
    """Return the only fact of an event with this object."""
    (fact,) = facts(event_type, stated, previous=previous)
    return fact


def ids(fact: Fact) -> set[str]:
    """Return the Stripe ids that a fact mentions, in the realm of the test events."""
    return {mention.removeprefix("test:") for mention in fact.mentions}
