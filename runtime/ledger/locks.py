"""Locks on parties: a transaction reads and writes the facts of locked parties only.

A party is locked by name with an advisory lock. Locks are taken in the order of their numbers and
before anything of the party is read. The holder alone decides what belongs to the party. A new
object gets its row in ``memberships`` at once: the unique key makes a second transaction that
names it wait, and then find out that it looked too early.

Only parties are locked, some hundred for a batch, and not every object: PostgreSQL's lock table
has room for 64 locks of each connection, and a full one fails every transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b

from sqlalchemy import Connection, text

from billing.ids import ObjectKey, PartyId
from models.tables import Membership
from runtime.ledger.bulk import insert_rows
from runtime.ledger.errors import LocksOutOfOrder
from runtime.ledger.parties import Grouping, PartyAssignment

Mentions = frozenset[ObjectKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """The assignment of every event to its party, valid until the transaction ends.

    ``stored`` names the parties in the database. ``ends`` maps every party that was merged to the
    party it became part of. ``known`` are the memberships of before, and ``archives`` those of them
    that are in an archive.
    """

    assignments: tuple[PartyAssignment, ...]
    stored: frozenset[PartyId]
    ends: Mapping[PartyId, PartyId]
    known: Mapping[ObjectKey, PartyId]
    archives: Mapping[ObjectKey, str]


@dataclass(frozen=True, slots=True)
class _Memberships:
    parties: Mapping[ObjectKey, PartyId]
    archives: Mapping[ObjectKey, str]


def secure(connection: Connection, events: Sequence[Mentions]) -> Secured:
    """Lock the parties of these events, and settle which object belongs to which party.

    Raises:
        LocksOutOfOrder: another transaction changed these memberships meanwhile.
    """
    # Memberships say which parties to lock, but may change until the locks are held. So read them
    # again after locking, and lock what was missing, until the held locks cover every party.
    keys = sorted(frozenset().union(*events))
    known = _memberships(connection, keys)
    grouping, assignments = _group(known.parties, events)
    held: set[PartyId] = set()
    while missing := grouping.parties() - held:
        lock(connection, missing, above=held)
        held |= missing
        if (now_known := _memberships(connection, keys)) != known:
            known = now_known
            grouping, assignments = _group(known.parties, events)
    _write_memberships(connection, known.parties, grouping.memberships())
    return Secured(
        assignments=assignments,
        stored=frozenset(known.parties.values()),
        ends=grouping.ends(),
        known=known.parties,
        archives=known.archives,
    )


def narrow(
    connection: Connection,
    secured: Secured,
    events: Sequence[Mentions],
    dropped: Iterable[Mentions],
) -> Secured:
    """Leave the assignments of these events, as if the dropped ones had not been secured.

    For each party, the events that are left are the first ones, so their assignments stay as they
    are. Only mergers and memberships that a dropped event asked for are undone.
    """
    grouping, assignments = _group(secured.known, events)
    fresh = frozenset().union(*events, *dropped) - secured.known.keys()
    connection.execute(_FORGET_MEMBERSHIPS, {"keys": sorted(fresh)})
    _write_memberships(connection, secured.known, grouping.memberships())
    return replace(secured, assignments=assignments, ends=grouping.ends())


def lock(connection: Connection, parties: Iterable[PartyId], *, above: Iterable[PartyId]) -> None:
    """Take the locks of these parties in order.

    Raises:
        LocksOutOfOrder: one of them sorts below one that is held ``above`` already.
    """
    numbers = {number_of(party): party for party in parties}
    highest = max(map(number_of, above), default=None)
    if highest is not None and min(numbers) < highest:
        raise LocksOutOfOrder(numbers.values())
    connection.execute(_LOCK, {"numbers": sorted(numbers)})


def try_lock(connection: Connection, parties: Iterable[PartyId]) -> list[PartyId]:
    """Take the locks that are free, and return their parties without waiting for the others."""
    numbers = {number_of(party): party for party in parties}
    free = connection.scalars(_TRY_LOCK, {"numbers": sorted(numbers)})
    return [numbers[number] for number in free]


def time_under_locks(connection: Connection) -> datetime:
    """Return the time now. The transaction began earlier, and may have waited for its locks.

    With the time at which it began, it would take back what began while it waited.
    """
    now: datetime = connection.execute(_TIME).scalar_one()
    return now


def number_of(party: PartyId) -> int:
    """Return the number of the party's advisory lock; two parties may share one and then wait."""
    digest = blake2b(party.encode(), digest_size=8, person=b"paidup party")
    return int.from_bytes(digest.digest(), signed=True)


# A function scan returns the array in its order, so locks are taken in that order.
_LOCK = text(
    "SELECT count(pg_advisory_xact_lock(number)) FROM unnest(CAST(:numbers AS bigint[])) AS number"
)
_TRY_LOCK = text(
    "SELECT number FROM unnest(CAST(:numbers AS bigint[])) AS number"
    " WHERE pg_try_advisory_xact_lock(number)"
)
_TIME = text("SELECT clock_timestamp()")
_FORGET_MEMBERSHIPS = text("DELETE FROM memberships WHERE object_key = ANY(:keys)")
_MEMBERSHIPS = text(
    "SELECT object_key, party, archive FROM memberships WHERE object_key = ANY(:keys)"
)


def _memberships(connection: Connection, keys: list[ObjectKey]) -> _Memberships:
    rows = connection.execute(_MEMBERSHIPS, {"keys": keys}).all()
    return _Memberships(
        parties={key: party for key, party, _ in rows},
        archives={key: archive for key, _, archive in rows if archive},
    )


def _group(
    known: Mapping[ObjectKey, PartyId], events: Sequence[Mentions]
) -> tuple[Grouping, tuple[PartyAssignment, ...]]:
    grouping = Grouping(known)
    return grouping, tuple(grouping.assign_party(mentions) for mentions in events)


def _write_memberships(
    connection: Connection,
    known: Mapping[ObjectKey, PartyId],
    final: Mapping[ObjectKey, PartyId],
) -> None:
    fresh = [{"object_key": key, "party": final[key]} for key in sorted(final) if key not in known]
    written = insert_rows(connection, Membership, fresh, conflict="ignore", returning="object_key")
    if len(written) < len(fresh):
        # Another transaction named one of these objects first, in a party that is not locked here.
        raise LocksOutOfOrder({row["object_key"] for row in fresh} - {row[0] for row in written})
