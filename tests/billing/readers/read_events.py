"""Reading one event, and what is expected of it."""

from typing import Any

from billing.facts import Fact
from billing.readers.registry import read
from tests.billing.event_builders import event


def facts(event_type: str, stated: dict[str, Any], *, previous: Any = None) -> tuple[Fact, ...]:
    """Everything an event with this object states."""
    reading = read(event(event_type, stated, previous=previous))
    assert reading.ignored is None
    return reading.facts


def only_fact(event_type: str, stated: dict[str, Any], *, previous: Any = None) -> Fact:
    """The one thing an event with this object states."""
    (fact,) = facts(event_type, stated, previous=previous)
    return fact


def ids(fact: Fact) -> set[str]:
    """The Stripe ids that a fact mentions, in the realm of the test events."""
    return {mention.removeprefix("test:") for mention in fact.mentions}
