"""Whose facts a transaction may read and write: everybody else's stay out until it commits.

A party is locked by name, with advisory locks taken in the order of their numbers and before
anything of the party is read. Who holds the lock of a party alone decides what belongs to it. An
object that nobody ever named gets its row in ``memberships`` at once: the unique key makes a
second transaction that names it wait, and then find out that it looked too early.

Advisory locks are held for parties only, some hundred for a batch, and not for every object:
PostgreSQL's lock table has room for 64 of each connection, and a full one stops everybody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import Connection, text

from billing.ids import ObjectKey, PartyId
from models.tables import Membership
from runtime.ledger.bulk import insert_rows
from runtime.ledger.errors import LocksOutOfOrder
from runtime.ledger.parties import Grouping, Landing

Mentions = frozenset[ObjectKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """Where every event belongs, true until the transaction ends.

    ``stored`` names the parties the database knows; ``ends`` says of every party that did not
    stay which one it is part of at the end.
    """

    landings: tuple[Landing, ...]
    stored: frozenset[PartyId]
    ends: Mapping[PartyId, PartyId]


def secure(connection: Connection, events: Sequence[Mentions]) -> Secured:
    """Lock the parties of these events, and settle which object belongs to which.

    Raises:
        LocksOutOfOrder: another transaction changed what belongs together meanwhile.
    """
    keys = sorted(frozenset().union(*events))
    known = _memberships(connection, keys)
    grouping, landings = _group(known, events)
    held: set[PartyId] = set()
    while missing := grouping.parties() - held:
        lock(connection, missing, above=held)
        held |= missing
        if (now_known := _memberships(connection, keys)) != known:
            known = now_known
            grouping, landings = _group(known, events)
    _write_memberships(connection, known, grouping.memberships())
    return Secured(
        landings=landings,
        stored=frozenset(known.values()),
        ends=grouping.ends(),
    )


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
    """Take those locks that are free, without waiting for the others."""
    numbers = {number_of(party): party for party in parties}
    free = connection.scalars(_TRY_LOCK, {"numbers": sorted(numbers)})
    return [numbers[number] for number in free]


def number_of(party: PartyId) -> int:
    """The party's advisory lock; two parties with one number only wait for each other."""
    digest = blake2b(party.encode(), digest_size=8, person=b"paidup party")
    return int.from_bytes(digest.digest(), signed=True)


# A function scan hands out the array in its order, so that is the order of locking.
_LOCK = text(
    "SELECT count(pg_advisory_xact_lock(number)) FROM unnest(CAST(:numbers AS bigint[])) AS number"
)
_TRY_LOCK = text(
    "SELECT number FROM unnest(CAST(:numbers AS bigint[])) AS number"
    " WHERE pg_try_advisory_xact_lock(number)"
)
_MEMBERSHIPS = text("SELECT object_key, party FROM memberships WHERE object_key = ANY(:keys)")


def _memberships(connection: Connection, keys: list[ObjectKey]) -> dict[ObjectKey, PartyId]:
    rows = connection.execute(_MEMBERSHIPS, {"keys": keys})
    return {row.object_key: row.party for row in rows}


def _group(
    known: Mapping[ObjectKey, PartyId], events: Sequence[Mentions]
) -> tuple[Grouping, tuple[Landing, ...]]:
    grouping = Grouping(known)
    return grouping, tuple(grouping.land(mentions) for mentions in events)


def _write_memberships(
    connection: Connection,
    known: Mapping[ObjectKey, PartyId],
    final: Mapping[ObjectKey, PartyId],
) -> None:
    fresh = [{"object_key": key, "party": final[key]} for key in sorted(final) if key not in known]
    written = insert_rows(connection, Membership, fresh, conflict="ignore", returning="object_key")
    if len(written) < len(fresh):
        # Somebody else named one of these objects first, in a party we do not hold.
        raise LocksOutOfOrder({row["object_key"] for row in fresh} - {row[0] for row in written})
