"""Make a link of each line of the users' file, as `paidup links add` does.

A link that stands already is left as it is, so the same file may be given with every run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, Engine, text

from billing.ids import Realm, object_key
from ops import connections
from ops.backfill.users_file import MappedUser
from ops.batches import chunks
from ops.statements.links import LinkOperations, LinkRequest
from runtime.ledger.record import Ledger

_SCOPE: Final = "cli:backfill"
"""The scope of the idempotency keys; no token of the console can have its name."""

_AT_ONCE: Final = 500


@dataclass(slots=True, kw_only=True)
class LinksMade:
    """The number of links that a file made, and of earlier ones; the lines of unknown customers."""

    made: int = 0
    earlier: int = 0
    unknown: list[MappedUser] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLinks:
    """Makes links for the customers of one realm, on the word of ``actor``, for ``reason``."""

    engine: Engine
    ledger: Ledger
    realm: Realm
    actor: str
    reason: str

    def make(self, rows: Sequence[MappedUser]) -> LinksMade:
        """Link each customer that is known to its user, each in a transaction of its own.

        Raises:
            LedgerError: a link is refused.
        """
        links = LinkOperations(self.ledger, realms=(self.realm,))
        result = LinksMade()
        for some in chunks(rows, _AT_ONCE):
            with connections.read_snapshot(self.engine) as connection:
                known = self._known(connection, some)
                standing = standing_links(connection, [self.realm], some)
            for row in some:
                if row.customer not in known:
                    result.unknown.append(row)
                elif standing.get((self.realm, row.customer)) == row.user_id:
                    result.earlier += 1
                else:
                    self.ledger.transact(partial(self._add, links, row))
                    result.made += 1
        return result

    def _known(self, connection: Connection, rows: Sequence[MappedUser]) -> frozenset[str]:
        keys = [object_key(self.realm, row.customer) for row in rows]
        found = frozenset(connection.scalars(_KNOWN, {"keys": keys}))
        return frozenset(
            row.customer for row in rows if object_key(self.realm, row.customer) in found
        )

    def _add(self, links: LinkOperations, row: MappedUser, connection: Connection) -> None:
        request = LinkRequest(
            target=row.customer,
            user_id=row.user_id,
            actor=self.actor,
            reason=self.reason,
            new_user=True,
        )
        said = f"{self.realm}\n{row.customer}\n{row.user_id}\n{self.reason}"
        key = sha256(said.encode()).hexdigest()[:32]
        links.add(connection, request, key=key, scope=_SCOPE)


def contradictions(
    connection: Connection, realms: Sequence[Realm], rows: Sequence[MappedUser]
) -> Iterator[str]:
    """Yield a sentence for each line whose customer a person linked to another user before."""
    for some in chunks(rows, _AT_ONCE):
        standing = standing_links(connection, realms, some)
        named = {row.customer: row for row in some}
        for (realm, customer), user_id in standing.items():
            if user_id != named[customer].user_id:
                yield (
                    f"line {named[customer].line}: {customer} is linked to {user_id} in {realm}:"
                    f" `paidup links list --target {customer}` shows by whom"
                )


def standing_links(
    connection: Connection, realms: Sequence[Realm], rows: Sequence[MappedUser]
) -> dict[tuple[Realm, str], str]:
    """Return the user of each customer that a link leads to, the newest link last."""
    values = {"targets": [row.customer for row in rows], "realms": [*realms]}
    found = connection.execute(_STANDING, values)
    return {(Realm(realm), customer): user_id for realm, customer, user_id in found}


_KNOWN: Final = text("SELECT object_key FROM memberships WHERE object_key = ANY(:keys)")
_STANDING: Final = text(
    "SELECT realm, target, user_id FROM operator_statements AS made WHERE kind = 'link'"
    " AND target = ANY(:targets) AND realm = ANY(:realms) AND NOT EXISTS ("
    " SELECT FROM operator_statements AS ended WHERE ended.subject = made.subject"
    " AND ended.kind = 'link_ended') ORDER BY made_at"
)
