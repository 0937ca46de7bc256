"""Facts as plain JSON and back, without loss.

The type of a dataclass member decides its conversion. Each kind's conversions are computed once, so
that an event costs one walk along a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from dataclasses import fields as members_of
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from billing.facts import (
    FIRST_READER,
    CollectionPause,
    CreditedLine,
    Fact,
    GrantedFeatures,
    GrantFields,
    Item,
    Kind,
    Line,
    LinkFields,
    Metadata,
    Rank,
)
from billing.families import FAMILIES

Converter = Callable[[Any], Any]


class _Codec(NamedTuple):
    """The conversions of one dataclass. Only members without a JSON type have one.

    A member that has its default is not written, since most objects have few of them.
    """

    shape: Callable[..., Any]
    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    writers: tuple[tuple[str, Converter], ...]
    readers: tuple[tuple[str, Converter], ...]


def fact_to_json(fact: Fact) -> dict[str, Any]:
    """Return the fact as a JSON document; times are ISO 8601."""
    codec = _CODECS[fact.kind]
    document = {
        "kind": fact.kind.value,
        "object_key": fact.object_key,
        "event_id": fact.event_id,
        "event_type": fact.event_type,
        "created_at": fact.created_at.isoformat(),
        "rank": fact.rank.value,
        "fields": _write_fields(fact.fields, codec),
        "before": None if fact.before is None else _write_fields(fact.before, codec),
        "customer_id": fact.customer_id,
        "mentions": list(fact.mentions),
        "reader": fact.reader,
    }
    # Few facts have this member, so it is left out where absent.
    if fact.happened_at is not None:
        document["happened_at"] = fact.happened_at.isoformat()
    return document


def fact_from_json(document: Mapping[str, Any]) -> Fact:
    """Return the fact of a document that ``fact_to_json`` wrote."""
    kind = _KINDS[document["kind"]]
    before = document["before"]
    happened_at = document.get("happened_at")
    return Fact(
        kind=kind,
        object_key=document["object_key"],
        event_id=document["event_id"],
        event_type=document["event_type"],
        created_at=datetime.fromisoformat(document["created_at"]),
        rank=_RANKS[document["rank"]],
        fields=_read(document["fields"], _CODECS[kind]),
        before=None if before is None else _read(before, _CODECS[kind]),
        customer_id=document["customer_id"],
        mentions=tuple(document["mentions"]),
        happened_at=None if happened_at is None else datetime.fromisoformat(happened_at),
        reader=document.get("reader", FIRST_READER),
    )


# A dict lookup: calling the enumeration takes longer than reading all times of a fact.
_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_RANKS: Mapping[int, Rank] = {rank.value: rank for rank in Rank}


def _write_fields(value: Any, codec: _Codec) -> dict[str, Any]:
    document = {name: getattr(value, name) for name in codec.names}
    for name, default in codec.defaults.items():
        if document[name] == default:
            del document[name]
    for name, write in codec.writers:
        if document.get(name) is not None:
            document[name] = write(document[name])
    return document


def _read(document: Mapping[str, Any], codec: _Codec) -> Any:
    # A document lacks members that have their default, and one of an earlier release may have other
    # members than the present dataclass.
    members = {name: document[name] for name in codec.names if name in document}
    for name, read in codec.readers:
        if members.get(name) is not None:
            members[name] = read(members[name])
    return codec.shape(**members)


def _pairs_read(document: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(document.items()))


_CONVERTERS: dict[Any, tuple[Converter, Converter]] = {
    datetime: (datetime.isoformat, datetime.fromisoformat),
    datetime | None: (datetime.isoformat, datetime.fromisoformat),
    tuple[str, ...]: (list, tuple),
    Metadata: (dict, _pairs_read),
    GrantedFeatures: (dict, _pairs_read),
}


def _codec(shape: Callable[..., Any]) -> _Codec:
    members = members_of(shape)  # type: ignore[arg-type]
    types = {member.name: member.type for member in members}
    odd = [(name, _CONVERTERS[kind]) for name, kind in types.items() if kind in _CONVERTERS]
    return _Codec(
        shape=shape,
        names=tuple(types),
        defaults={each.name: each.default for each in members if each.default is not MISSING},
        writers=tuple((name, write) for name, (write, _) in odd),
        readers=tuple((name, read) for name, (_, read) in odd),
    )


def _nested(shape: Callable[..., Any]) -> tuple[Converter, Converter]:
    codec = _codec(shape)
    return partial(_write_fields, codec=codec), partial(_read, codec=codec)


def _list_of(shape: Callable[..., Any]) -> tuple[Converter, Converter]:
    write, read = _nested(shape)
    return lambda values: [*map(write, values)], lambda documents: tuple(map(read, documents))


_CONVERTERS |= {
    tuple[Item, ...]: _list_of(Item),
    tuple[Line, ...]: _list_of(Line),
    tuple[CreditedLine, ...]: _list_of(CreditedLine),
    CollectionPause | None: _nested(CollectionPause),
}
_STATED = {Kind.LINK: LinkFields, Kind.GRANT: GrantFields}
_SHAPES = {**{kind: family.fields for kind, family in FAMILIES.items()}, **_STATED}
_CODECS: Mapping[Kind, _Codec] = {kind: _codec(shape) for kind, shape in _SHAPES.items()}
