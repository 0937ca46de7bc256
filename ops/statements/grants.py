"""Grants: what a person gives a user, and its end. Each call takes an idempotency key.

request -check-> statement -state-> rows, audit -> the access of the user before and after
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from billing.catalogue import Catalogue, FeatureValue
from billing.ids import EVERY_REALM, realm_of
from billing.projection.effective import AlikeGrants, in_force
from billing.rows import EntitlementRow
from billing.statements import LINK_PREFIX, OperatorGrant, OperatorStatement
from ops.errors import CommandFailed
from ops.queries.alike_grants import load_alike_grants
from ops.statements.access import UserAccess, access_by
from ops.statements.identifiers import new_grant_id, new_statement_id
from ops.statements.times import Duration
from ops.statements.users import require_known
from runtime.idempotency import CallResult, HitCounter, Idempotent
from runtime.ledger import catalogues
from runtime.ledger.decisions import Decision, EntitlementRevoked, RowUpserted
from runtime.ledger.record import Ledger
from runtime.ledger.statements import EndStatement, NewStatement

KEPT: Final = timedelta(days=3650)
"""A statement stands for good, so its key never stands for another within a person's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRequest:
    """A grant as a person asks for it; without ``lasts`` and ``until`` it has no end.

    ``starts_at`` of None is now. ``new_user`` allows a user whom nothing has named before, and
    ``new_feature`` a feature that no plan has.
    """

    user_id: str
    plan_code: str | None
    features: Mapping[str, FeatureValue]
    starts_at: datetime | None
    lasts: Duration | None
    until: datetime | None
    actor: str
    reason: str
    test: bool = False
    new_user: bool = False
    new_feature: bool = False

    def described(self) -> dict[str, Any]:
        """Return what makes two requests the same, whenever they are made and by whom."""
        return {
            "user_id": self.user_id,
            "plan_code": self.plan_code,
            "features": dict(self.features),
            "starts_at": self.starts_at and self.starts_at.isoformat(),
            "lasts": self.lasts and self.lasts.text,
            "until": self.until and self.until.isoformat(),
            "reason": self.reason,
            "test": self.test,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRequest:
    """The end of a grant or of a link, from now on."""

    id: str
    actor: str
    reason: str

    def described(self) -> dict[str, Any]:
        """Return what makes two requests the same."""
        return {"id": self.id, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantResult:
    """A recorded grant or its end, and what the user may do by it.

    ``then`` is the moment of ``after``: the start of the grant, or now.
    """

    grant: str
    statement: str
    user_id: str
    plan_code: str | None
    features: Mapping[str, FeatureValue]
    starts_at: datetime
    until: datetime | None
    actor: str
    reason: str
    then: datetime
    before: UserAccess
    after: UserAccess

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "GrantResult":
        """Return the result of its JSON."""
        times = {name: _time(document[name]) for name in ("starts_at", "until", "then")}
        access = {name: UserAccess.read(document[name]) for name in ("before", "after")}
        return cls(**{**document, **times, **access})

    def document(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "grant": self.grant,
            "statement": self.statement,
            "user_id": self.user_id,
            "plan_code": self.plan_code,
            "features": dict(self.features),
            "starts_at": self.starts_at.isoformat(),
            "until": self.until and self.until.isoformat(),
            "actor": self.actor,
            "reason": self.reason,
            "then": self.then.isoformat(),
            "before": self.before.document(),
            "after": self.after.document(),
        }


class NoSuchStatement(CommandFailed):
    """No grant or link has this id; ``says`` leaves out which command shows those there are."""

    def __init__(self, says: str, *, shows: str) -> None:
        self.says = says
        super().__init__(f"{says}: {shows}; nothing was recorded")


class NoSuchGrant(NoSuchStatement):
    """No grant has this id."""

    def __init__(self, grant: str) -> None:
        shows = "`paidup grants list` shows them"
        if grant.startswith(LINK_PREFIX):
            shows = f"`paidup links end {grant} --reason WHY` ends a link"
        super().__init__(f"there is no grant {grant}", shows=shows)


class GrantOperations:
    """Adds and ends grants through one ledger; ``test_counts`` says whether test mode does."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        zone: ZoneInfo,
        test_counts: bool,
        hits: HitCounter | None = None,
    ) -> None:
        self._ledger = ledger
        self._zone = zone
        self._test_counts = test_counts
        self._hits = hits
        self._add = Idempotent(
            self._added,
            "grants.add",
            describe=GrantRequest.described,
            encode=GrantResult.document,
            decode=GrantResult.read,
            kept=KEPT,
        )
        self._end = Idempotent(
            self._ended,
            "grants.end",
            describe=EndRequest.described,
            encode=GrantResult.document,
            decode=GrantResult.read,
            kept=KEPT,
        )

    def add(
        self, connection: Connection, request: GrantRequest, *, key: str | None, scope: str = ""
    ) -> CallResult[GrantResult]:
        """Record a grant in this transaction, or return what the same key recorded before.

        Raises:
            CommandFailed: the user, the plan, a feature or a time is not possible.
            IdempotencyError: for the reasons named in ``runtime.idempotency``.
        """
        return self._add(connection, request, key=key, scope=scope, hits=self._hits)

    def end(
        self, connection: Connection, request: EndRequest, *, key: str | None, scope: str = ""
    ) -> CallResult[GrantResult]:
        """End a grant in this transaction, or return what the same key recorded before.

        Raises:
            NoSuchGrant: there is none.
            StatementRefused: it was ended before.
            IdempotencyError: for the reasons named in ``runtime.idempotency``.
        """
        return self._end(connection, request, key=key, scope=scope, hits=self._hits)

    def _added(self, connection: Connection, request: GrantRequest) -> GrantResult:
        now = _now(connection)
        grant = self._grant(connection, request, now)
        then = max(now, grant.starts_at)
        others = load_alike_grants(connection, grant.user_id, then)
        (stated,) = self._ledger.state(
            connection,
            [
                NewStatement(
                    id=new_statement_id(), subject=grant, actor=request.actor, reason=request.reason
                )
            ],
        )
        own = _in_force(_begun(stated.decisions), then)
        return _result(
            stated.statement,
            request,
            then,
            before=access_by(others),
            after=access_by([*others, *own]),
        )

    def _ended(self, connection: Connection, request: EndRequest) -> GrantResult:
        now = _now(connection)
        user_id = connection.scalar(_USER, {"grant": request.id})
        if user_id is None:
            raise NoSuchGrant(request.id)
        end = EndStatement(
            id=new_statement_id(), subject=request.id, actor=request.actor, reason=request.reason
        )
        (stated,) = self._ledger.state(connection, [end])
        # What the grant gave is in force no more, so these are the others.
        others = load_alike_grants(connection, user_id, now)
        own = _in_force(_revoked(stated.decisions), now)
        return _result(
            stated.statement,
            request,
            now,
            before=access_by([*others, *own]),
            after=access_by(others),
        )

    def _grant(self, connection: Connection, request: GrantRequest, now: datetime) -> OperatorGrant:
        require_known(connection, request.user_id, new_user=request.new_user)
        if request.test and not self._test_counts:
            raise CommandFailed(
                "PAIDUP_LIVEMODE is live, so a grant for test mode counts nowhere; nothing was"
                " recorded"
            )
        starts_at = request.starts_at or now
        until = self._until(request, starts_at)
        if until is not None and until <= max(starts_at, now):
            raise CommandFailed(
                f"the end {until:%Y-%m-%d %H:%M:%S}Z is not after its start or now; nothing was"
                " recorded"
            )
        plans = catalogues.current_catalogue(connection).catalogue
        features, per_seat = _features(plans, request)
        return OperatorGrant(
            id=new_grant_id(),
            user_id=request.user_id,
            plan_code=request.plan_code,
            features=tuple(sorted(features.items())),
            per_seat=per_seat,
            starts_at=starts_at,
            until=until,
            realm=realm_of(None, livemode=False) if request.test else EVERY_REALM,
        )

    def _until(self, request: GrantRequest, starts_at: datetime) -> datetime | None:
        if request.lasts is None:
            return request.until
        try:
            return request.lasts.after(starts_at, self._zone)
        except ValueError as error:
            raise CommandFailed(str(error)) from error


def _features(
    plans: Catalogue, request: GrantRequest
) -> tuple[Mapping[str, FeatureValue], tuple[str, ...]]:
    """Return the features of the plan, or those asked for, and which are per seat."""
    if bool(request.plan_code) == bool(request.features):
        raise CommandFailed("a grant gives either a plan or features: --plan or --feature")
    if not request.plan_code:
        _check_features(plans, request)
        return request.features, ()
    plan = plans.plan_by_code(request.plan_code)
    if plan is None:
        there_are = ", ".join(each.code for each in plans.plans) or "none"
        raise CommandFailed(f"there is no plan {request.plan_code!r}; plans: {there_are}")
    return plan.features_for(1), plan.summed_features


def _check_features(plans: Catalogue, request: GrantRequest) -> None:
    """Raise ``CommandFailed`` for a feature that no plan has, or that has another type there."""
    known = {name: value for plan in plans.plans for name, value in plan.features_for(1).items()}
    for name, value in request.features.items():
        if name not in known and not request.new_feature:
            there_are = ", ".join(sorted(known)) or "none"
            raise CommandFailed(
                f"no plan has a feature {name!r}: look for a typing error, or give --new-feature;"
                f" features: {there_are}"
            )
        if name in known and type(known[name]) is not type(value):
            kind = "a number" if isinstance(value, bool) else "true or false"
            raise CommandFailed(f"the feature {name!r} is {kind} in the plans, not {value}")


def _begun(decisions: Iterable[Decision]) -> Iterator[EntitlementRow]:
    """Yield the rows of a new grant as they will be once it has begun."""
    for each in decisions:
        if isinstance(each, RowUpserted) and isinstance(each.row, EntitlementRow):
            yield replace(each.row, active=True)


def _revoked(decisions: Iterable[Decision]) -> Iterator[EntitlementRow]:
    """Yield the rows of a grant as they were before it ended."""
    return (each.before for each in decisions if isinstance(each, EntitlementRevoked))


def _in_force(rows: Iterable[EntitlementRow], at: datetime) -> list[AlikeGrants]:
    return [AlikeGrants.of(row) for row in rows if in_force(row, at)]


def _result(
    statement: OperatorStatement,
    request: GrantRequest | EndRequest,
    then: datetime,
    *,
    before: UserAccess,
    after: UserAccess,
) -> GrantResult:
    grant = statement.subject
    assert isinstance(grant, OperatorGrant)  # noqa: S101 - the request is about a grant
    return GrantResult(
        grant=grant.id,
        statement=statement.id,
        user_id=grant.user_id,
        plan_code=grant.plan_code,
        features=dict(grant.features),
        starts_at=grant.starts_at,
        until=grant.until,
        actor=request.actor,
        reason=request.reason,
        then=then,
        before=before,
        after=after,
    )


def _now(connection: Connection) -> datetime:
    now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return now


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


_USER = text(
    "SELECT user_id FROM operator_statements WHERE subject = :grant AND kind = 'grant' LIMIT 1"
)
