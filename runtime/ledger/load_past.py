"""Load all that a batch of events needs of its parties, which is less than a long past.

Most of that is in archives. An event asks for the archive of each object that it names, for
those that it may pair with, and, if it is older than what is known of its object, for the
observations around it. A party is loaded whole where no part of it can decide: when parties become
one, and when a settled event states something else.

When other plans are in force, and when an event turned out to change what archives depend on, the
whole party changes as well. If its past is long, only what is loaded changes at once, and its
archives follow in steps (``maintenance/archive_updates.py``).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from billing.archiving.archive import COMPACTED
from billing.archiving.special_keys import keys_of_invoices, keys_referred_to
from billing.fact_codec import fact_from_json
from billing.facts import Fact
from billing.ids import ObjectKey, PartyId, stripe_id_of
from runtime.ledger.catalogues import VersionedCatalogue, identities
from runtime.ledger.load import (
    ARCHIVED,
    OPENED,
    Stored,
    load_without_archives,
    refuse_outdated,
    take_rows,
)
from runtime.ledger.locks import Mentions, Secured


@dataclass(frozen=True, slots=True)
class ArchiveRequest:
    """The needs that a first try turned out to have: whole parties, archives by special keys.

    ``changed`` are parties whose archives all have to change, now or in steps; ``at_once`` leaves
    nothing to steps.
    """

    whole: frozenset[PartyId] = frozenset()
    changed: frozenset[PartyId] = frozenset()
    keys: Mapping[PartyId, frozenset[str]] = field(default_factory=dict)
    at_once: bool = False

    def __or__(self, other: "ArchiveRequest") -> "ArchiveRequest":
        keys = {
            party: self.keys.get(party, frozenset()) | other.keys.get(party, frozenset())
            for party in self.keys.keys() | other.keys.keys()
        }
        return ArchiveRequest(
            whole=self.whole | other.whole,
            changed=self.changed | other.changed,
            keys=keys,
            at_once=self.at_once or other.at_once,
        )


NOTHING_MORE = ArchiveRequest()
AT_ONCE = ArchiveRequest(at_once=True)

IN_STEPS_ABOVE = 2_000
"""The number of archived facts above which a party changes in steps.

It is some 500 payments, which one transaction projects and writes in less than a second.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNeeds:
    """The objects that one event names, its facts, and what settled statements it replaces."""

    mentions: Mentions
    facts: tuple[Fact, ...]
    restates: frozenset[str]


class BatchNeeds(NamedTuple):
    """The needs of a batch of events, which are projected by these plans.

    ``request`` is what an earlier try turned out to need, ``not_dead`` are keys of events that had
    no open or discarded dead letter before.
    """

    events: Sequence[EventNeeds]
    plans: VersionedCatalogue
    request: ArchiveRequest
    not_dead: Iterable[str]


def load_past(connection: Connection, secured: Secured, needs: BatchNeeds) -> dict[PartyId, Stored]:
    """Return what a batch needs of its parties, which may be nothing.

    Raises:
        DeadLetterChanged: an event of ``not_dead`` has a dead letter now.
        FactsOutdated: earlier readers wrote facts of one of the parties.
    """
    stored = load_without_archives(connection, secured.stored, not_dead=needs.not_dead)
    refuse_outdated(stored)
    archived = {party: each for party, each in stored.items() if each.has_more}
    if archived:
        whole = _needed_whole(connection, archived, secured, needs)
        _load_whole(connection, {party: archived[party] for party in whole})
        parts = {party: archived[party] for party in archived.keys() - whole}
        _open(connection, parts, secured, needs)
        _take_out(connection, parts, secured, needs.events)
    return stored


def _needed_whole(
    connection: Connection, archived: Mapping[PartyId, Stored], secured: Secured, needs: BatchNeeds
) -> frozenset[PartyId]:
    """Return the parties that have to be loaded whole; note which of the others change in steps."""
    merged = frozenset(secured.ends) | frozenset(secured.ends.values())
    restated = _restated(connection, archived, needs.events)
    whole = frozenset(archived) & (merged | restated | needs.request.whole)
    by_others = _by_other_plans(archived, needs.plans)
    changed = frozenset(archived) & (by_others | needs.request.changed) - whole
    may_wait = {} if needs.request.at_once else {party: archived[party] for party in changed}
    in_steps = _in_steps(connection, may_wait, needs.plans)
    for party in in_steps:
        archived[party].in_steps = True
    return whole | (changed - in_steps)


def _by_other_plans(
    parties: Mapping[PartyId, Stored], plans: VersionedCatalogue
) -> frozenset[PartyId]:
    return frozenset(
        party
        for party, each in parties.items()
        if each.has_more and each.catalogue_version != plans.version
    )


def _in_steps(
    connection: Connection, changed: Mapping[PartyId, Stored], plans: VersionedCatalogue
) -> frozenset[PartyId]:
    """Return the parties whose archives may change after what is loaded.

    If other plans read the user elsewhere, who named a user first may be archived. Without it, what
    is loaded would have no user until a step finds it.
    """
    long_past = _with_long_past(connection, changed)
    by_others = _by_other_plans({party: changed[party] for party in long_past}, plans)
    versions = filter(None, (changed[party].catalogue_version for party in by_others))
    before = identities(connection, frozenset(versions)) if by_others else []
    if any(each != plans.catalogue.identity for each in before):
        return long_past - by_others
    return long_past


def _with_long_past(connection: Connection, parties: Collection[PartyId]) -> frozenset[PartyId]:
    """Return the parties that have too much in archives to change it in one transaction."""
    if not parties:
        return frozenset()
    asked = {"parties": sorted(parties), "most": IN_STEPS_ABOVE}
    return frozenset(PartyId(party) for party in connection.scalars(_WITH_LONG_PAST, asked))


def load_for_plans(
    connection: Connection, parties: Iterable[PartyId], plans: VersionedCatalogue
) -> dict[PartyId, Stored]:
    """Return what these parties need to be projected by these plans.

    Raises:
        FactsOutdated: earlier readers wrote facts of one of the parties.
    """
    stored = load_without_archives(connection, parties)
    refuse_outdated(stored)
    by_others = _by_other_plans(stored, plans)
    in_steps = _in_steps(connection, {party: stored[party] for party in by_others}, plans)
    _load_whole(connection, {party: stored[party] for party in by_others - in_steps})
    for party in in_steps:
        stored[party].in_steps = True
    for each in stored.values():
        # What has no archives is whole, and may go into its first ones now.
        each.is_whole = not each.has_more
    return stored


def load_archives(connection: Connection, party: PartyId, names: Collection[str] | None) -> Stored:
    """Return a party with its archives of these names, or with all of them.

    Raises:
        FactsOutdated: earlier readers wrote facts of the party.
    """
    stored = load_without_archives(connection, [party])
    refuse_outdated(stored)
    each = stored[party]
    if names is None:
        _load_whole(connection, stored)
    else:
        each.in_steps = True
        each.opened.update(names)
        _load_opened(connection, stored)
    return each


def _restated(
    connection: Connection, archived: Collection[PartyId], events: Iterable[EventNeeds]
) -> frozenset[PartyId]:
    """Return the parties with archived facts of statements that are replaced."""
    ids = sorted(frozenset().union(*(each.restates for each in events)))
    if not ids:
        return frozenset()
    found = connection.scalars(_RESTATED, {"ids": ids, "parties": sorted(archived)})
    return frozenset(PartyId(party) for party in found)


def _load_whole(connection: Connection, parties: Mapping[PartyId, Stored]) -> None:
    if parties:
        take_rows(parties, connection.execute(ARCHIVED, {"parties": sorted(parties)}))
    for each in parties.values():
        each.is_whole = True


def _open(
    connection: Connection,
    parties: Mapping[PartyId, Stored],
    secured: Secured,
    needs: BatchNeeds,
) -> None:
    """Load the archives that events name something in, or reach by a special key."""
    keys = set[str]()
    for each in needs.events:
        for key in each.mentions & secured.archives.keys():
            if found := parties.get(secured.known[key]):
                found.opened.add(secured.archives[key])
        keys.update(_special_keys(each, secured))
    for party in parties.keys() & needs.request.keys.keys():
        keys |= needs.request.keys[party]
    if keys:
        asked = {"keys": sorted(keys), "parties": sorted(parties)}
        for party, archive in connection.execute(_BY_KEY, asked):
            parties[party].opened.add(archive)
    _load_opened(connection, parties)


def _load_opened(connection: Connection, parties: Mapping[PartyId, Stored]) -> None:
    opened = {party: each for party, each in parties.items() if each.opened}
    if opened:
        names = sorted(frozenset().union(*(each.opened for each in opened.values())))
        asked = {"parties": sorted(opened), "archives": names}
        take_rows(opened, connection.execute(OPENED, asked))


def _special_keys(event: EventNeeds, secured: Secured) -> Iterator[str]:
    """Yield the keys of references to invoices; an invoice is asked for once, when named first.

    The event may name new objects only, which another one of the batch connects with a party.
    """
    fresh = event.mentions - secured.known.keys()
    yield from keys_referred_to(event.facts)
    yield from keys_of_invoices(key for key in fresh if stripe_id_of(key).startswith("in_"))


def _take_out(
    connection: Connection,
    parties: Mapping[PartyId, Stored],
    secured: Secured,
    events: Iterable[EventNeeds],
) -> None:
    """Load the observations around each fact that is older than what is loaded of its object."""
    newest = {party: _newest_by_object(each.facts) for party, each in parties.items()}
    for fact in (fact for each in events for fact in each.facts):
        party = secured.known.get(fact.object_key)
        if party is None or party not in parties or fact.kind not in COMPACTED:
            continue
        known_at = newest[party].get(fact.object_key)
        if known_at and fact.created_at < known_at:
            loaded = [each.created_at for each in parties[party].facts]
            asked = {"key": fact.object_key, "at": fact.created_at, "loaded": loaded}
            found = connection.execute(_AROUND, asked)
            around = [fact_from_json(each) for (each,) in found]
            parties[party].facts += around
            parties[party].taken_out.update((each.event_id, each.object_key) for each in around)


def _newest_by_object(facts: Iterable[Fact]) -> Mapping[ObjectKey, datetime]:
    newest: dict[ObjectKey, datetime] = defaultdict(lambda: _EARLIEST)
    for fact in facts:
        at = fact.created_at.replace(microsecond=0)
        newest[fact.object_key] = max(newest[fact.object_key], at)
    return dict(newest)


_EARLIEST = datetime.fromisoformat("0001-01-01T00:00:00+00:00")
_RESTATED = text(
    "SELECT DISTINCT party FROM facts WHERE event_id = ANY(:ids) AND archive <> ''"
    " AND party = ANY(:parties)"
)
_WITH_LONG_PAST = text(
    "SELECT asked.party FROM unnest(CAST(:parties AS text[])) AS asked (party)"
    " WHERE (SELECT count(*) FROM (SELECT FROM facts WHERE facts.party = asked.party"
    " AND archive > '' LIMIT CAST(:most AS int) + 1) AS archived) > CAST(:most AS int)"
)
_BY_KEY = text(
    "SELECT DISTINCT party, archive FROM archive_keys WHERE key = ANY(:keys)"
    " AND party = ANY(:parties)"
)
_SINGLE = (
    "SELECT created_at FROM facts WHERE object_key = :key AND archive <> ''"
    " AND created_at <> ALL(CAST(:loaded AS timestamptz[]))"
    " AND created_at {side} :at GROUP BY created_at HAVING count(*) = 1"
    " ORDER BY created_at {order} LIMIT 1"
)
_AROUND = text(
    "SELECT fact FROM facts WHERE object_key = :key AND archive <> ''"  # noqa: S608 - our own names
    f" AND created_at BETWEEN coalesce(({_SINGLE.format(side='<', order='DESC')}), '-infinity')"
    f" AND coalesce(({_SINGLE.format(side='>', order='ASC')}), 'infinity')"
)
"""What ``observations_around`` names, as far as it is archived; a second of which something is
loaded does not count as one with one fact."""
