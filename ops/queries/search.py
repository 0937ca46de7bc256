"""Search everything by one text: users, addresses, ids of Stripe and of statements, and plans.

Whole ids come first, then what begins with the text, then whom it names. Each kind is found along
an index and is limited, so the time does not grow with the tables.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select, text

from billing.catalogue import read_catalogue
from billing.ids import ObjectKey, PartyId, Realm, realm_in, stripe_id_of
from billing.readers.search_terms import word_term
from billing.text import storable
from models.tables import DeadLetter, StoredCatalogue, StripeEvent
from ops.queries.lookups import objects_by_word
from ops.queries.parties import is_named, users_of_parties
from ops.queries.prefixes import begins_with

MAX_HITS: Final = 20

_OF_EACH_KIND: Final = 8
_LONGEST: Final = 255
_SHORTEST_PREFIX: Final = 3
_LAST: Final = "\U0010ffff"

_KINDS: Final = {
    "cus": "customer",
    "gcus": "customer",
    "sub": "subscription",
    "pi": "payment",
    "ch": "charge",
    "py": "charge",
    "in": "invoice",
    "cs": "session",
    "re": "refund",
    "pyr": "refund",
    "du": "dispute",
    "dp": "dispute",
}
"""The kind of an object by the beginning of its id; any other is an ``object``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """One thing that a text may mean.

    ``kind`` is ``user``, ``email``, ``customer``, ``subscription``, ``payment``, ``charge``,
    ``invoice``, ``session``, ``refund``, ``dispute``, ``object``, ``event``, ``dead_letter``,
    ``plan``, ``price``, ``grant`` or ``link``. ``id`` names it among its kind. ``detail`` says
    whose or what it is: its user, its realm, its plan, its type. ``customer`` is that of an object,
    as far as it has one.
    """

    kind: str
    id: str
    label: str
    detail: str
    exact: bool
    customer: str | None = None


def search(connection: Connection, realms: Sequence[Realm], text: str) -> tuple[SearchHit, ...]:
    """Return at most ``MAX_HITS`` things that the text may mean, whole ids first."""
    wanted = storable(text.strip())[:_LONGEST]
    if not wanted:
        return ()
    finders: tuple[Callable[[Connection, Sequence[Realm], str], Iterator[SearchHit]], ...] = (
        _plans,
        _users,
        _objects,
        _events,
        _dead_letters,
        _statements,
        _emails,
        _bearers,
    )
    found = [hit for find in finders for hit in find(connection, realms, wanted)]
    unique: dict[tuple[str, str, str], SearchHit] = {}
    for hit in found:
        unique.setdefault((hit.kind, hit.id, hit.detail), hit)
    in_order = sorted(unique.values(), key=lambda hit: not hit.exact)
    return tuple(in_order[:MAX_HITS])


def _users(connection: Connection, _realms: Sequence[Realm], wanted: str) -> Iterator[SearchHit]:
    if is_named(connection, wanted):
        yield SearchHit(kind="user", id=wanted, label=wanted, detail="user", exact=True)
    if len(wanted) >= _SHORTEST_PREFIX:
        for user in connection.scalars(_USERS, _range(wanted)):
            if user != wanted:
                yield SearchHit(kind="user", id=user, label=user, detail="user", exact=False)


def _objects(connection: Connection, realms: Sequence[Realm], wanted: str) -> Iterator[SearchHit]:
    if not _ID.match(wanted):
        return
    values = {"realms": [*realms], **_range(wanted)}
    for row in connection.execute(_OBJECTS, values):
        key, party = ObjectKey(row.object_key), stripe_id_of(PartyId(row.party))
        yield SearchHit(
            kind=_kind_of(stripe_id_of(key)),
            id=stripe_id_of(key),
            label=stripe_id_of(key),
            detail=realm_in(key),
            exact=stripe_id_of(key) == wanted,
            customer=party if _kind_of(party) == "customer" else None,
        )


def _kind_of(stripe_id: str) -> str:
    return _KINDS.get(stripe_id.partition("_")[0], "object")


def _events(connection: Connection, _realms: Sequence[Realm], wanted: str) -> Iterator[SearchHit]:
    if not wanted.startswith("evt_"):
        return
    query = select(StripeEvent.id, StripeEvent.type)
    near = query.where(begins_with(StripeEvent.id, wanted)).limit(_OF_EACH_KIND)
    rows = [*connection.execute(query.where(StripeEvent.id == wanted)), *connection.execute(near)]
    for id_, type_ in dict(tuple(row) for row in rows).items():
        yield SearchHit(kind="event", id=id_, label=id_, detail=type_, exact=id_ == wanted)


def _dead_letters(
    connection: Connection, _realms: Sequence[Realm], wanted: str
) -> Iterator[SearchHit]:
    if not wanted.startswith("evt_"):
        return
    query = select(DeadLetter.event_id, DeadLetter.state)
    near = query.where(begins_with(DeadLetter.event_id, wanted)).limit(_OF_EACH_KIND)
    whole = connection.execute(query.where(DeadLetter.event_id == wanted))
    for key, state in dict(tuple(row) for row in (*whole, *connection.execute(near))).items():
        yield SearchHit(kind="dead_letter", id=key, label=key, detail=state, exact=key == wanted)


def _statements(
    connection: Connection, _realms: Sequence[Realm], wanted: str
) -> Iterator[SearchHit]:
    if _ID.match(wanted):
        for row in connection.execute(_STATEMENTS, _range(wanted)):
            exact = wanted in {row.id, row.subject}
            kind = row.kind.partition("_")[0]
            yield SearchHit(
                kind=kind, id=row.subject, label=row.subject, detail=row.user_id, exact=exact
            )


def _emails(connection: Connection, _realms: Sequence[Realm], wanted: str) -> Iterator[SearchHit]:
    if len(wanted) < _SHORTEST_PREFIX:
        return
    lower = wanted.lower()
    for row in connection.execute(_EMAILS, _range(lower)):
        whose = row.user_id or stripe_id_of(ObjectKey(row.object_key))
        yield SearchHit(
            kind="email", id=row.term, label=row.term, detail=whose, exact=row.term == lower
        )


def _bearers(connection: Connection, _realms: Sequence[Realm], wanted: str) -> Iterator[SearchHit]:
    """Yield the objects that bear the text as a name or as a value of metadata."""
    found = connection.execute(objects_by_word(word_term(wanted), limit=_OF_EACH_KIND)).all()
    for object_key, party in found:
        stripe_id = stripe_id_of(ObjectKey(object_key))
        kind, named = _kind_of(stripe_id), users_of_parties(connection, [party])
        whose = ", ".join(named[:2]) or "no user yet"
        yield SearchHit(kind=kind, id=stripe_id, label=wanted, detail=whose, exact=False)


def _plans(connection: Connection, _realms: Sequence[Realm], wanted: str) -> Iterator[SearchHit]:
    newest = select(StoredCatalogue.document).order_by(StoredCatalogue.version.desc()).limit(1)
    document = connection.scalar(newest)
    lower = wanted.lower()
    for plan in read_catalogue(document).plans if document else ():
        if lower in plan.code.lower():
            same = plan.code == wanted
            yield SearchHit(kind="plan", id=plan.code, label=plan.code, detail="plan", exact=same)
        for price in plan.prices:
            if price.lower().startswith(lower):
                same = price == wanted
                yield SearchHit(kind="price", id=price, label=price, detail=plan.code, exact=same)


def _range(prefix: str) -> dict[str, object]:
    """Return the first and the last text that begin so, and how many to return."""
    return {"first": prefix, "last": prefix + _LAST, "most": _OF_EACH_KIND}


_ID: Final = re.compile(r"[a-z]{2,6}_")

_USERS: Final = text("""
    SELECT user_id FROM (
        (SELECT user_id FROM user_versions WHERE user_id ~>=~ :first AND user_id ~<=~ :last
         ORDER BY user_id USING ~<~ LIMIT :most)
        UNION
        (SELECT user_id FROM customers WHERE user_id ~>=~ :first AND user_id ~<=~ :last
         ORDER BY user_id USING ~<~ LIMIT :most)
    ) AS found ORDER BY user_id LIMIT :most
""")
_OBJECTS: Final = text("""
    SELECT object_key, party FROM unnest(CAST(:realms AS text[])) AS realm CROSS JOIN LATERAL (
        SELECT object_key, party FROM memberships
        WHERE object_key ~>=~ (realm || ':' || :first) AND object_key ~<=~ (realm || ':' || :last)
        ORDER BY object_key USING ~<~ LIMIT :most
    ) AS found ORDER BY object_key LIMIT :most
""")
_STATEMENTS: Final = text("""
    (SELECT id, subject, kind, user_id FROM operator_statements WHERE id = :first)
    UNION
    (SELECT id, subject, kind, user_id FROM operator_statements
     WHERE subject ~>=~ :first AND subject ~<=~ :last AND kind IN ('grant', 'link')
     ORDER BY subject USING ~<~ LIMIT :most)
""")
_EMAILS: Final = text("""
    SELECT found.term, found.object_key, customers.user_id FROM (
        SELECT term, object_key FROM search_terms
        WHERE kind = 'email' AND term ~>=~ :first AND term ~<=~ :last
          AND strpos(object_key, ':') > 0
        ORDER BY term USING ~<~ LIMIT :most
    ) AS found LEFT JOIN customers
        ON customers.realm = split_part(found.object_key, ':', 1)
       AND customers.stripe_customer_id = split_part(found.object_key, ':', 2)
    ORDER BY found.term, found.object_key
""")
