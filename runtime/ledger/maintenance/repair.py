"""Repair of a party's rows: project it and find what has to change, even if its rows were altered.

A row that was altered from outside is put right. The amounts booked for a payment are taken from
its history, and the version beside a grant from the plans in force.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

from sqlalchemy import Connection, text

from billing.ids import PartyId, UserId
from billing.rows import Key, PaymentRow
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.catalogues import VersionedCatalogue
from runtime.ledger.decisions import Decision, MoneyMoved, RowUpserted
from runtime.ledger.difference import difference
from runtime.ledger.money_movements import Pair, movements
from runtime.ledger.rows import Row, Rows, TableName


class Owner(NamedTuple):
    """The user a payment is booked for, if known, and the currency."""

    user_id: UserId | None
    currency: str


History = Mapping[Key, Mapping[Owner, int]]
"""The amounts booked for each payment by owner; sums of zero are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprojected:
    """A party that was just projected, and the rows it had before."""

    party: PartyId
    party_state: PartyState
    before: Rows

    def payments(self) -> frozenset[Key]:
        """Return the keys of every payment it had or has."""
        return frozenset(self.before[TableName.PAYMENTS].keys() | self._after(TableName.PAYMENTS))

    def decisions(
        self, plans: VersionedCatalogue, history: History, versions: Mapping[Key, int]
    ) -> Iterator[Decision]:
        """Yield the decisions of a projection; amounts come from the history, not from the rows."""
        decided = difference(self.before, self.party_state.rows, versions)
        yield from (each for each in decided if not isinstance(each, MoneyMoved))
        before = cast("Mapping[Key, PaymentRow]", self.before[TableName.PAYMENTS])
        after = cast("Mapping[Key, PaymentRow]", self._after(TableName.PAYMENTS))
        yield from money_to_book(before, after, history)
        yield from self._misnumbered(plans, versions)

    def _misnumbered(
        self, plans: VersionedCatalogue, versions: Mapping[Key, int]
    ) -> Iterator[Decision]:
        """Yield grants that are right but carry the version of other plans."""
        if self.party_state.catalogue_version != plans.version:
            return  # such rows are all written again
        before = self.before[TableName.ENTITLEMENTS]
        for key, row in self._after(TableName.ENTITLEMENTS).items():
            if before.get(key) == row and versions[key] != plans.version:
                yield RowUpserted(table=TableName.ENTITLEMENTS, row=row, is_renewal=True)

    def _after(self, table: TableName) -> Mapping[Key, Row]:
        return self.party_state.rows[table]


def reproject_batch(batch: BatchState) -> list[Reprojected]:
    """Project every party of the batch.

    A row that was put under another party by mistake belongs to the party whose facts state it.
    """
    befores = {party: party_state.rows for party, party_state in sorted(batch.parties.items())}
    for party_state in batch.parties.values():
        batch.project(party_state)
    makers = {place: party for party in befores for place in _places(batch.parties[party].rows)}
    return [
        Reprojected(
            party=party, party_state=batch.parties[party], before=_own(before, party, makers)
        )
        for party, before in befores.items()
    ]


def _places(rows: Rows) -> Iterable[tuple[TableName, Key]]:
    return ((table, key) for table, keyed in rows.items() for key in keyed)


def _own(rows: Rows, party: PartyId, makers: Mapping[tuple[TableName, Key], PartyId]) -> Rows:
    return {
        table: {key: row for key, row in keyed.items() if makers.get((table, key), party) == party}
        for table, keyed in rows.items()
    }


def versions_of(connection: Connection, parties: Sequence[PartyId]) -> dict[Key, int]:
    """Return the version of the plans beside each grant of these parties."""
    found = connection.execute(_VERSIONS, {"parties": list(parties)})
    return {tuple(key): version for version, *key in found}


def history_of(connection: Connection, payments: frozenset[Key]) -> dict[Key, dict[Owner, int]]:
    """Return the amounts booked for these payments; those without any are left out."""
    wanted = sorted(payments)
    found: dict[Key, dict[Owner, int]] = {}
    values = {"realms": [key[0] for key in wanted], "refs": [key[1] for key in wanted]}
    for realm, ref, user_id, currency, amount in connection.execute(_BOOKED, values):
        owner = Owner(None if user_id is None else UserId(user_id), currency)
        found.setdefault((realm, ref), {})[owner] = int(amount)
    return found


_VERSIONS = text(
    "SELECT catalogue_version, user_id, source, plan_code, realm FROM user_entitlements"
    " WHERE party = ANY(:parties)"
)
_BOOKED = text(
    "SELECT realm, payment_ref, user_id, currency, sum(amount_minor) FROM payment_events"
    " WHERE (realm, payment_ref) IN (SELECT * FROM unnest(CAST(:realms AS text[]),"
    " CAST(:refs AS text[]))) GROUP BY realm, payment_ref, user_id, currency"
    " HAVING sum(amount_minor) <> 0"
)


def money_to_book(
    before: Mapping[Key, PaymentRow], after: Mapping[Key, PaymentRow], history: History
) -> list[MoneyMoved]:
    """Return what to book so that the history of every payment sums to the row after."""
    keys = sorted(before.keys() | after.keys())
    pairs = [
        pair
        for key in keys
        for pair in _pairs(before.get(key), after.get(key), history.get(key, {}))
    ]
    return list(movements(pairs))


def _pairs(
    before: PaymentRow | None, after: PaymentRow | None, history: Mapping[Owner, int]
) -> Iterator[Pair]:
    if history == _owed(after):
        return
    if history == _owed(before):
        yield before, after
        return
    row = after or before
    assert row is not None, "a payment has at least one side"  # noqa: S101 - for the reader
    for owner, amount in sorted(history.items(), key=str):
        if after is None or owner != _owner(after):
            yield _as_booked(row, owner, amount), None
    if after is not None:
        missing = _left(after) - history.get(_owner(after), 0)
        yield replace(after, amount_minor=after.amount_minor - missing), after


def _owed(row: PaymentRow | None) -> Mapping[Owner, int]:
    return {_owner(row): _left(row)} if row is not None and _left(row) else {}


def _owner(row: PaymentRow) -> Owner:
    return Owner(row.user_id, row.currency)


def _left(row: PaymentRow) -> int:
    return row.amount_minor - row.amount_refunded_minor


def _as_booked(row: PaymentRow, owner: Owner, amount: int) -> PaymentRow:
    return replace(
        row,
        user_id=owner.user_id,
        currency=owner.currency,
        amount_minor=amount,
        amount_refunded_minor=0,
    )
