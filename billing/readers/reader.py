"""The reader of a family of objects, and the step from an event to its facts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from billing.envelope import Envelope, snapshot_type, usable_id
from billing.errors import UnreadableEvent
from billing.facts import Fact, Fields, Kind, Rank
from billing.families import FAMILIES
from billing.ids import CustomerId, ObjectKey, Realm, object_key
from billing.json_fields import Raw, before_change, customer_in, object_in


class ReadContext(NamedTuple):
    """The event type and the time with which an object is read.

    ``event_type`` is empty for an embedded object and for the state before a change.
    """

    event_type: str
    at: datetime


DATED_BY_EVENT = frozenset({"invoice.payment_failed", "payment_intent.succeeded", "refund.failed"})
"""Types that date a happening by the event's own time, although the object is seen later."""


def _key_of_own_id(realm: Realm, raw: Raw) -> ObjectKey | None:
    own_id = usable_id(raw.get("id"))
    return object_key(realm, own_id) if own_id else None


def _none(_: Raw) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The reader of one family, for every API version and every place it is embedded in.

    ``describes`` explains its facts in words for the generated page. ``references`` returns the ids
    of the objects it names besides its customer, ``embedded`` the objects that Stripe embeds in it,
    and ``key`` the key of its facts.
    """

    kind: Kind
    describes: str
    fields: Callable[[Raw, ReadContext], Fields]
    references: Callable[[Raw], Iterable[str | None]] = _none
    embedded: "Callable[[Raw], Iterable[tuple[Reader, Raw]]]" = _none
    key: Callable[[Realm, Raw], ObjectKey | None] = _key_of_own_id
    identified_by: str = "data.object.id"
    customer: Callable[[Raw], str | None] = customer_in

    @property
    def stripe_name(self) -> str:
        """The value of ``object`` in the family's JSON."""
        return FAMILIES[self.kind].stripe_name


class EventEffect(StrEnum):
    """The effect of an event, in the words of the generated page."""

    ACCESS = "access"
    MONEY = "money"
    BOTH = "access and money"
    LINKS = "links"
    ORDER = "order only"


class EventType(NamedTuple):
    """One type of event: its reader, its effect and its meaning in a sentence."""

    reader: Reader
    effect: EventEffect
    description: str


def facts_in(envelope: Envelope, reader: Reader) -> tuple[Fact, ...]:
    """Return the facts of an event: its object first, then the embedded objects.

    An object without any id is a preview that Stripe never stored; it has no facts.

    Raises:
        UnreadableEvent: the object has an id that cannot be a key.
    """
    stated = object_in(envelope.payload, "data", "object")
    if reader.key(envelope.realm, stated) is None:
        if stated.get(reader.identified_by.rpartition(".")[2]) is None:
            return ()
        raise UnreadableEvent(envelope.event_id, reader.identified_by)
    return _facts(envelope, reader, stated, ReadContext(envelope.type, envelope.created_at))


def facts_fetched(envelope: Envelope, reader: Reader, raw: Raw, at: datetime) -> tuple[Fact, ...]:
    """Return the facts of an object that Stripe's API returned for an event, as of that time.

    A thin event's type says what happened. Its time says only when that happened.
    """
    event_type = snapshot_type(envelope.type) if envelope.thin else ""
    return tuple(
        replace(
            fact,
            event_type=event_type or envelope.type,
            rank=Rank.DELETED if fact.rank is Rank.DELETED else Rank.UPDATED,
            before=None,
            happened_at=envelope.created_at if event_type in DATED_BY_EVENT else None,
        )
        for fact in _facts(envelope, reader, raw, ReadContext(event_type, at))
    )


def _facts(
    envelope: Envelope, reader: Reader, stated: Raw, context: ReadContext
) -> tuple[Fact, ...]:
    facts: dict[ObjectKey, Fact] = {}
    realm = envelope.realm
    for each, raw, its_context in _with_embedded(reader, stated, context):
        key = each.key(realm, raw)
        if key is not None and key not in facts:
            facts[key] = _fact(envelope, key, each, raw, its_context)
    return tuple(facts.values())


def _with_embedded(
    reader: Reader, raw: Raw, context: ReadContext
) -> Iterator[tuple[Reader, Raw, ReadContext]]:
    yield reader, raw, context
    for inner_reader, inner in reader.embedded(raw):
        yield from _with_embedded(inner_reader, inner, ReadContext("", context.at))


def _fact(
    envelope: Envelope, key: ObjectKey, reader: Reader, raw: Raw, context: ReadContext
) -> Fact:
    realm, customer_id = envelope.realm, reader.customer(raw)
    named = [object_key(realm, one) for one in (customer_id, *reader.references(raw)) if one]
    return Fact(
        kind=reader.kind,
        object_key=key,
        event_id=envelope.event_id,
        event_type=envelope.type,
        created_at=context.at,
        rank=_rank(envelope.type),
        fields=reader.fields(raw, context),
        before=_before(envelope, reader, raw) if context.event_type else None,
        customer_id=CustomerId(customer_id) if customer_id else None,
        mentions=tuple(dict.fromkeys((key, *named))),
    )


def _before(envelope: Envelope, reader: Reader, raw: Raw) -> Fields | None:
    previous = object_in(envelope.payload, "data").get("previous_attributes")
    if not isinstance(previous, dict):
        return None
    return reader.fields(before_change(raw, previous), ReadContext("", envelope.created_at))


def _rank(event_type: str) -> Rank:
    if event_type in ("customer.subscription.paused", "customer.subscription.resumed"):
        return Rank.PAUSED_OR_RESUMED
    if event_type.endswith(".created"):
        return Rank.CREATED
    return Rank.DELETED if event_type.endswith(".deleted") else Rank.UPDATED
