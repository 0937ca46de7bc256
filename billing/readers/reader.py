"""What a family of objects has to say of itself, and how that becomes facts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from billing.envelope import Envelope, told_type, usable_id
from billing.errors import UnreadableEvent
from billing.facts import Fact, Fields, Kind, Rank
from billing.ids import CustomerId, ObjectKey, Realm, object_key
from billing.json_fields import Raw, customer, table, undone


class Occasion(NamedTuple):
    """When an object was seen, and on what occasion.

    ``event_type`` is empty for an object embedded in another and for one as it was before.
    """

    event_type: str
    at: datetime


NAMES_ITS_MOMENT = frozenset(
    {"invoice.payment_failed", "payment_intent.succeeded", "refund.failed"}
)
"""Types that say what happened at the event's own time, whatever has become of it since."""


def _key_of_own_id(realm: Realm, raw: Raw) -> ObjectKey | None:
    own_id = usable_id(raw.get("id"))
    return object_key(realm, own_id) if own_id else None


def _nothing_inside(_: Raw) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How one family is read, in every API version and wherever it is embedded.

    ``states`` says in words what its facts are; ``others`` are the ids of the objects it names
    besides its customer; ``inside`` finds the objects that Stripe embeds in it; ``key`` is what
    its facts are filed under.
    """

    kind: Kind
    stripe_name: str
    states: str
    fields: Callable[[Raw, Occasion], Fields]
    others: Callable[[Raw], Iterable[str | None]] = _nothing_inside
    inside: "Callable[[Raw], Iterable[tuple[Reader, Raw]]]" = _nothing_inside
    key: Callable[[Realm, Raw], ObjectKey | None] = _key_of_own_id
    identified_by: str = "data.object.id"
    customer: Callable[[Raw], str | None] = customer


class Bearing(StrEnum):
    """What an event can change, in the words of the page that lists them all."""

    ACCESS = "access"
    MONEY = "money"
    BOTH = "access and money"
    LINKS = "links"
    ORDER = "order only"


class Told(NamedTuple):
    """One type of event: who reads it, what it can change, and what it tells in a sentence."""

    reader: Reader
    bears_on: Bearing
    says: str


def facts_in(envelope: Envelope, reader: Reader) -> tuple[Fact, ...]:
    """The facts of an event: of its object first, then of the objects embedded in it.

    An object without any id is a preview that Stripe never stored: nothing can be said of it.

    Raises:
        UnreadableEvent: the object has an id that nothing could be filed under.
    """
    stated = table(envelope.payload, "data", "object")
    if reader.key(envelope.realm, stated) is None:
        if stated.get(reader.identified_by.rpartition(".")[2]) is None:
            return ()
        raise UnreadableEvent(envelope.event_id, reader.identified_by)
    return _facts(envelope, reader, stated, Occasion(envelope.type, envelope.created_at))


def facts_seen(envelope: Envelope, reader: Reader, raw: Raw, at: datetime) -> tuple[Fact, ...]:
    """The facts of an object that Stripe's API showed because of an event, as of that moment.

    The type of a thin event is taken for what it says, its time only for what happened then.
    """
    event_type = told_type(envelope.type) if envelope.thin else ""
    return tuple(
        replace(
            fact,
            event_type=event_type or envelope.type,
            rank=Rank.DELETED if fact.rank is Rank.DELETED else Rank.UPDATED,
            before=None,
            happened_at=envelope.created_at if event_type in NAMES_ITS_MOMENT else None,
        )
        for fact in _facts(envelope, reader, raw, Occasion(event_type, at))
    )


def _facts(envelope: Envelope, reader: Reader, stated: Raw, occasion: Occasion) -> tuple[Fact, ...]:
    facts: dict[ObjectKey, Fact] = {}
    realm = envelope.realm
    for seen_by, raw, seen_on in _all_seen(reader, stated, occasion):
        key = seen_by.key(realm, raw)
        if key is not None and key not in facts:
            facts[key] = _fact(envelope, key, seen_by, raw, seen_on)
    return tuple(facts.values())


def _all_seen(
    reader: Reader, raw: Raw, occasion: Occasion
) -> Iterator[tuple[Reader, Raw, Occasion]]:
    yield reader, raw, occasion
    for inner_reader, inner in reader.inside(raw):
        yield from _all_seen(inner_reader, inner, Occasion("", occasion.at))


def _fact(envelope: Envelope, key: ObjectKey, reader: Reader, raw: Raw, seen_on: Occasion) -> Fact:
    realm, customer_id = envelope.realm, reader.customer(raw)
    named = [object_key(realm, one) for one in (customer_id, *reader.others(raw)) if one]
    return Fact(
        kind=reader.kind,
        object_key=key,
        event_id=envelope.event_id,
        event_type=envelope.type,
        created_at=seen_on.at,
        rank=_rank(envelope.type),
        fields=reader.fields(raw, seen_on),
        before=_before(envelope, reader, raw) if seen_on.event_type else None,
        customer_id=CustomerId(customer_id) if customer_id else None,
        mentions=tuple(dict.fromkeys((key, *named))),
    )


def _before(envelope: Envelope, reader: Reader, raw: Raw) -> Fields | None:
    previous = table(envelope.payload, "data").get("previous_attributes")
    if not isinstance(previous, dict):
        return None
    return reader.fields(undone(raw, previous), Occasion("", envelope.created_at))


def _rank(event_type: str) -> Rank:
    if event_type in ("customer.subscription.paused", "customer.subscription.resumed"):
        return Rank.PAUSED_OR_RESUMED
    if event_type.endswith(".created"):
        return Rank.CREATED
    return Rank.DELETED if event_type.endswith(".deleted") else Rank.UPDATED
