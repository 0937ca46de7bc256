"""Links: a person's word whose an object of Stripe or a customer is, and its end.

request -check-> statement -state-> rows, money, audit -> what moves and what stays
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, text

from billing.ids import ObjectKey, Realm, realm_in
from billing.statements import GRANT_PREFIX, OperatorLink, OperatorStatement
from ops.errors import CommandFailed
from ops.queries.lookups import LINKABLE
from ops.statements.grants import KEPT, EndRequest, NoSuchStatement
from ops.statements.identifiers import new_link_id, new_statement_id
from ops.statements.users import require_known
from runtime.idempotency import CallResult, HitCounter, Idempotent
from runtime.ledger.decisions import (
    Decision,
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
    MoneyMoved,
)
from runtime.ledger.errors import StatementRefused
from runtime.ledger.record import Ledger
from runtime.ledger.statements import EndStatement, NewStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    """A link as a person asks for it; ``new_user`` allows a user whom nothing has named before."""

    target: str
    user_id: str
    actor: str
    reason: str
    new_user: bool = False

    def described(self) -> dict[str, Any]:
        """Return what makes two requests the same, by any actor."""
        return {"target": self.target, "user_id": self.user_id, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedAccess:
    """A source that a user gains, loses, or has otherwise than before."""

    change: str
    user_id: str
    source: str
    plan_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedMoney:
    """Money booked to a user or taken from one; the user is None where none is known."""

    user_id: str | None
    payment_ref: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAccess:
    """A source of the same customer that stays with its user."""

    user_id: str
    source: str
    plan_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkResult:
    """A recorded link or its end, with what moved by it and what stayed.

    ``more_follows`` if the customer has a long past, of which the archives follow in steps.
    """

    link: str
    statement: str
    target: str
    user_id: str
    realm: str
    actor: str
    reason: str
    access: tuple[MovedAccess, ...]
    money: tuple[MovedMoney, ...]
    stays: tuple[KeptAccess, ...]
    more_follows: bool

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "LinkResult":
        """Return the result of its JSON."""
        lists = {
            "access": tuple(MovedAccess(**each) for each in document["access"]),
            "money": tuple(MovedMoney(**each) for each in document["money"]),
            "stays": tuple(KeptAccess(**each) for each in document["stays"]),
        }
        return cls(**{**document, **lists})

    def document(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return asdict(self)


class NoSuchLink(NoSuchStatement):
    """No link has this id."""

    def __init__(self, link: str) -> None:
        shows = "`paidup links list` shows them"
        if link.startswith(GRANT_PREFIX):
            shows = f"`paidup grants end {link} --reason WHY` ends a grant"
        super().__init__(f"there is no link {link}", shows=shows)


class LinkOperations:
    """Adds and ends links through one ledger; a target is looked for in ``realms``.

    With ``at_once`` nothing that follows from them is left to be done in steps.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        realms: Sequence[Realm],
        hits: HitCounter | None = None,
        at_once: bool = False,
    ) -> None:
        self._ledger = ledger
        self._realms = realms
        self._hits = hits
        self._at_once = at_once
        self._add = Idempotent(
            self._added,
            "links.add",
            describe=LinkRequest.described,
            encode=LinkResult.document,
            decode=LinkResult.read,
            kept=KEPT,
        )
        self._end = Idempotent(
            self._ended,
            "links.end",
            describe=EndRequest.described,
            encode=LinkResult.document,
            decode=LinkResult.read,
            kept=KEPT,
        )

    def add(
        self, connection: Connection, request: LinkRequest, *, key: str | None, scope: str = ""
    ) -> CallResult[LinkResult]:
        """Record a link in this transaction, or return what the same key recorded before.

        Raises:
            CommandFailed: the target or the user is not possible.
            IdempotencyError: for the reasons named in ``runtime.idempotency``.
        """
        return self._add(connection, request, key=key, scope=scope, hits=self._hits)

    def end(
        self, connection: Connection, request: EndRequest, *, key: str | None, scope: str = ""
    ) -> CallResult[LinkResult]:
        """Take a link back in this transaction, or return what the same key recorded before.

        Raises:
            NoSuchLink: there is none.
            StatementRefused: it was ended before.
            IdempotencyError: for the reasons named in ``runtime.idempotency``.
        """
        return self._end(connection, request, key=key, scope=scope, hits=self._hits)

    def _added(self, connection: Connection, request: LinkRequest) -> LinkResult:
        if not request.target.startswith(LINKABLE):
            known = ", ".join(LINKABLE)
            raise CommandFailed(
                f"{request.target!r} cannot be linked: its id begins with one of {known}"
            )
        require_known(connection, request.user_id, new_user=request.new_user)
        link = OperatorLink(
            id=new_link_id(),
            user_id=request.user_id,
            target=request.target,
            realm=self._realm(connection, request.target),
        )
        new = NewStatement(
            id=new_statement_id(), subject=link, actor=request.actor, reason=request.reason
        )
        return self._state(connection, new)

    def _ended(self, connection: Connection, request: EndRequest) -> LinkResult:
        if connection.scalar(_IS_LINK, {"link": request.id}) is None:
            raise NoSuchLink(request.id)
        end = EndStatement(
            id=new_statement_id(), subject=request.id, actor=request.actor, reason=request.reason
        )
        return self._state(connection, end)

    def _realm(self, connection: Connection, target: str) -> Realm:
        """Return the realm that knows the target."""
        keys = [f"{realm}:{target}" for realm in self._realms]
        known = [ObjectKey(key) for key in connection.scalars(_KNOWN, {"keys": keys})]
        if not known:
            raise StatementRefused(target, f"no event has named {target} yet")
        if len(known) > 1:
            listed = ", ".join(sorted(map(realm_in, known)))
            raise StatementRefused(target, f"{target} is known in several modes: {listed}")
        return realm_in(known[0])

    def _state(self, connection: Connection, new: NewStatement | EndStatement) -> LinkResult:
        (change,) = self._ledger.state(connection, [new], at_once=self._at_once)
        statement = change.statement
        link = statement.subject
        assert isinstance(link, OperatorLink)  # noqa: S101 - the request is about a link
        return LinkResult(
            link=link.id,
            statement=statement.id,
            target=link.target,
            user_id=link.user_id,
            realm=link.realm,
            actor=statement.actor,
            reason=statement.reason,
            access=tuple(_access(change.decisions)),
            money=tuple(_money(change.decisions)),
            stays=tuple(_stays(connection, statement, change.decisions)),
            more_follows=bool(connection.scalar(_FOLLOWS, {"key": statement.object_key})),
        )


def _access(decisions: Iterable[Decision]) -> Iterable[MovedAccess]:
    for each in decisions:
        match each:
            case EntitlementGranted(after=row):
                yield _moved("gains", row)
            case EntitlementChanged(after=row):
                yield _moved("has otherwise", row)
            case EntitlementRevoked(before=row):
                yield _moved("loses", row)
            case _:
                pass


def _moved(change: str, row: Any) -> MovedAccess:
    return MovedAccess(
        change=change, user_id=row.user_id, source=row.source, plan_code=row.plan_code
    )


def _money(decisions: Iterable[Decision]) -> Iterable[MovedMoney]:
    for each in decisions:
        if isinstance(each, MoneyMoved):
            payment = each.payment
            yield MovedMoney(
                user_id=payment.user_id,
                payment_ref=payment.payment_ref,
                amount_minor=each.amount_minor,
                currency=payment.currency,
            )


def _stays(
    connection: Connection, statement: OperatorStatement, decisions: Iterable[Decision]
) -> Iterable[KeptAccess]:
    """Yield what is in force in the same party and did not move, nor may still follow."""
    moved = {(each.user_id, each.source, each.plan_code) for each in _access(decisions)}
    for row in connection.execute(_IN_FORCE, {"key": statement.object_key}):
        if tuple(row) not in moved:
            yield KeptAccess(user_id=row.user_id, source=row.source, plan_code=row.plan_code)


_IS_LINK = text("SELECT id FROM operator_statements WHERE subject = :link AND kind = 'link'")
_KNOWN = text("SELECT object_key FROM memberships WHERE object_key = ANY(:keys)")
_FOLLOWS = text(
    "SELECT EXISTS (SELECT FROM archive_updates JOIN memberships USING (party)"
    " WHERE object_key = :key)"
)
_IN_FORCE = text(
    "SELECT user_id, source, plan_code FROM user_entitlements WHERE active AND"
    " (expires_at IS NULL OR expires_at > now()) AND party ="
    " (SELECT party FROM memberships WHERE object_key = :key) AND NOT EXISTS ("
    "  SELECT FROM archive_updates AS waits WHERE waits.party = user_entitlements.party"
    "  AND archive > position) ORDER BY 1, 2, 3"
)
