"""The party that each event belongs to, and the parties that an event merges.

Pure. Events are taken one by one, so a batch of a hundred groups objects as a hundred batches of
one would.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from billing.ids import ObjectKey, PartyId, stripe_id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyAssignment:
    """The party of an event, and the parties that the event merges into it."""

    party: PartyId
    absorbed: tuple[PartyId, ...]


class Grouping:
    """Grows with every event that is assigned; ``known`` holds the memberships in the database."""

    def __init__(self, known: Mapping[ObjectKey, PartyId]) -> None:
        self._given: dict[ObjectKey, PartyId] = dict(known)
        self._renamed: dict[PartyId, PartyId] = {}

    def assign_party(self, mentions: Iterable[ObjectKey]) -> PartyAssignment:
        """Give every object of an event one party, named after a customer if there is one."""
        keys = sorted(set(mentions))
        present = {self.party_of(key) for key in keys if key in self._given}
        fresh = {PartyId(key) for key in keys if key not in self._given and _is_customer(key)}
        party = min(present | fresh or {PartyId(keys[0])}, key=_precedence)
        absorbed = tuple(sorted(present - {party}))
        self._renamed.update(dict.fromkeys(absorbed, party))
        for key in keys:
            self._given.setdefault(key, party)
        return PartyAssignment(party=party, absorbed=absorbed)

    def party_of(self, key: ObjectKey) -> PartyId:
        """Return the party of a known object after every merger so far."""
        return self._end_of(self._given[key])

    def memberships(self) -> dict[ObjectKey, PartyId]:
        """Return every object with its party at the end."""
        return {key: self._end_of(party) for key, party in self._given.items()}

    def ends(self) -> dict[PartyId, PartyId]:
        """Return every merged party with the party it is part of at the end."""
        return {party: self._end_of(party) for party in self._renamed}

    def parties(self) -> frozenset[PartyId]:
        """Return every party met on the way: these have to be locked."""
        return frozenset(self._given.values()) | frozenset(self._renamed.values())

    def _end_of(self, party: PartyId) -> PartyId:
        while party in self._renamed:
            party = self._renamed[party]
        return party


def _is_customer(key: ObjectKey | PartyId) -> bool:
    return stripe_id_of(key).startswith("cus_")


def _precedence(party: PartyId) -> tuple[bool, str]:
    return (not _is_customer(party), party)
