"""The reader of a family of objects, and the step from an event to its facts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from billing.envelope import Envelope, snapshot_type, usable_id
from billing.errors import UnreadableEvent
from billing.facts import OBSERVED, Fact, Fields, Kind, Rank
from billing.families import FAMILIES
from billing.fetching.observations import ApiObservation
from billing.ids import CustomerId, EventId, ObjectKey, Realm, object_key
from billing.json_fields import Raw, before_change, customer_in, object_in


class ReadContext(NamedTuple):
    """The event type and the time with which an object is read.

    ``event_type`` is empty for an embedded object and for the state before a change.
    """

    event_type: str
    at: datetime


STATED_BY_TYPE = frozenset(
    {
        "charge.captured",
        "charge.failed",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
        "invoice.payment_failed",
        "payment_intent.succeeded",
        "refund.failed",
    }
)
"""Types that say what happened, and when, beyond what the object shows afterwards."""


class _Statement(NamedTuple):
    """The source of facts: an event with its ``previous_attributes``, or an API observation."""

    id: EventId
    type: str
    realm: Realm
    previous: Raw | None = None


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
    previous = object_in(envelope.payload, "data").get("previous_attributes")
    statement = _Statement(
        id=envelope.event_id,
        type=envelope.type,
        realm=envelope.realm,
        previous=previous if isinstance(previous, dict) else None,
    )
    return _facts(statement, reader, stated, ReadContext(envelope.type, envelope.created_at))


def facts_observed(
    realm: Realm, observation: ApiObservation, reader: Reader, raw: Raw, read_as: str = ""
) -> tuple[Fact, ...]:
    """Return the facts of an object that Stripe's API showed, which are the same for every event.

    They state what is: the observation tells no change and no time at which something happened.
    ``read_as`` is the event type that says the same of the object, where it is not the object that
    says it.
    """
    statement = _Statement(id=observation.id, type=OBSERVED, realm=realm)
    return _facts(statement, reader, raw, ReadContext(read_as, observation.asked_at))


def facts_stated_by_type(
    envelope: Envelope, reader: Reader, raw: Raw, at: datetime
) -> tuple[Fact, ...]:
    """Return the fact that a thin event states by its type, with the object as it was at ``at``."""
    statement = _Statement(
        id=envelope.event_id, type=snapshot_type(envelope.type), realm=envelope.realm
    )
    key = reader.key(envelope.realm, raw)
    assert key is not None, "Stripe was asked for it by its id"  # noqa: S101 - for the reader
    fact = _fact(statement, key, reader, raw, ReadContext(statement.type, at))
    happened_at = envelope.created_at if statement.type in STATED_BY_TYPE else None
    return (replace(fact, happened_at=happened_at),)


def _facts(
    statement: _Statement, reader: Reader, stated: Raw, context: ReadContext
) -> tuple[Fact, ...]:
    facts: dict[ObjectKey, Fact] = {}
    for each, raw, its_context in _with_embedded(reader, stated, context):
        key = each.key(statement.realm, raw)
        if key is not None and key not in facts:
            facts[key] = _fact(statement, key, each, raw, its_context)
    return tuple(facts.values())


def _with_embedded(
    reader: Reader, raw: Raw, context: ReadContext
) -> Iterator[tuple[Reader, Raw, ReadContext]]:
    yield reader, raw, context
    for inner_reader, inner in reader.embedded(raw):
        yield from _with_embedded(inner_reader, inner, ReadContext("", context.at))


def _fact(
    statement: _Statement, key: ObjectKey, reader: Reader, raw: Raw, context: ReadContext
) -> Fact:
    realm, customer_id = statement.realm, reader.customer(raw)
    named = [object_key(realm, one) for one in (customer_id, *reader.references(raw)) if one]
    return Fact(
        kind=reader.kind,
        object_key=key,
        event_id=statement.id,
        event_type=statement.type,
        created_at=context.at,
        rank=_rank(statement.type),
        fields=reader.fields(raw, context),
        before=_before(statement, reader, raw, context) if context.event_type else None,
        customer_id=CustomerId(customer_id) if customer_id else None,
        mentions=tuple(dict.fromkeys((key, *named))),
    )


def _before(statement: _Statement, reader: Reader, raw: Raw, context: ReadContext) -> Fields | None:
    if statement.previous is None:
        return None
    return reader.fields(before_change(raw, statement.previous), ReadContext("", context.at))


def _rank(event_type: str) -> Rank:
    if event_type in ("customer.subscription.paused", "customer.subscription.resumed"):
        return Rank.PAUSED_OR_RESUMED
    if event_type.endswith(".created"):
        return Rank.CREATED
    return Rank.DELETED if event_type.endswith(".deleted") else Rank.UPDATED
