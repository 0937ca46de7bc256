"""Which party each event belongs to, and which parties it finds to be one.

Pure: what is known comes in, what follows comes out. Events are taken one by one, so that a
batch of a hundred groups objects as a hundred batches of one would.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from billing.ids import ObjectKey, PartyId, stripe_id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Where an event belongs, and the parties that end in it because the event connects them."""

    party: PartyId
    absorbed: tuple[PartyId, ...]


class Grouping:
    """Grows with every event that lands; ``known`` is what the database says so far."""

    def __init__(self, known: Mapping[ObjectKey, PartyId]) -> None:
        self._given: dict[ObjectKey, PartyId] = dict(known)
        self._renamed: dict[PartyId, PartyId] = {}

    def land(self, mentions: Iterable[ObjectKey]) -> Landing:
        """Give every object the event mentions one party, named by a customer where it can be."""
        keys = sorted(set(mentions))
        present = {self.party_of(key) for key in keys if key in self._given}
        fresh = {PartyId(key) for key in keys if key not in self._given and _is_customer(key)}
        party = min(present | fresh or {PartyId(keys[0])}, key=_precedence)
        absorbed = tuple(sorted(present - {party}))
        self._renamed.update(dict.fromkeys(absorbed, party))
        for key in keys:
            self._given.setdefault(key, party)
        return Landing(party=party, absorbed=absorbed)

    def party_of(self, key: ObjectKey) -> PartyId:
        """The party of a key that has one, after every merger so far."""
        return self._end_of(self._given[key])

    def memberships(self) -> dict[ObjectKey, PartyId]:
        """Every key with its party at the end."""
        return {key: self._end_of(party) for key, party in self._given.items()}

    def ends(self) -> dict[PartyId, PartyId]:
        """Every party that did not stay, with the one it is part of at the end."""
        return {party: self._end_of(party) for party in self._renamed}

    def parties(self) -> frozenset[PartyId]:
        """Every party there was on the way: what has to be locked."""
        return frozenset(self._given.values()) | frozenset(self._renamed.values())

    def _end_of(self, party: PartyId) -> PartyId:
        while party in self._renamed:
            party = self._renamed[party]
        return party


def _is_customer(key: ObjectKey | PartyId) -> bool:
    return stripe_id_of(key).startswith("cus_")


def _precedence(party: PartyId) -> tuple[bool, str]:
    return (not _is_customer(party), party)
