"""From plan grants to entitlement rows, one for every user a source ever had.

A source (a subscription, a purchase, Stripe's own features) grants each plan that it was ever on,
active or not. Its present user gets that grant. Every other user whom a fact named gets an inactive
row, so that any order of the same facts leaves the same rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.ids import EventId, PlanCode, Realm, UserId
from billing.projection.ownership import SourceOwner
from billing.rows import EntitlementRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGrant:
    """The grant of a source under one plan, independent of its user."""

    plan_code: PlanCode
    features: Mapping[str, Any]
    active: bool
    starts_at: datetime
    expires_at: datetime | None
    event_id: EventId
    because: str
    guessed: bool = False
    per_seat: tuple[str, ...] = ()
    resumes_at: datetime | None = None
    """The moment at which it comes into force again without an event."""
    changes_at: datetime | None = None
    """The next moment at which its features change before it ends; None if it is not active."""


@dataclass(slots=True, kw_only=True)
class GrantCollector:
    """Collects the rows of a realm, and notes if a grant waits for its user."""

    realm: Realm
    rows: dict[tuple[str, ...], EntitlementRow] = field(default_factory=dict)
    candidates: dict[str, tuple[UserId, ...]] = field(default_factory=dict)
    """The users between whom each source waits that would grant now; often there is none."""
    due_at: datetime | None = None
    """The earliest end of a grant in force now, waiting or not, or return of one that is not."""

    def add(
        self,
        owner: SourceOwner,
        source: str,
        plan_grants: Iterable[PlanGrant],
    ) -> None:
        """Add the rows of a source: the grants for its user, inactive rows for all other users."""
        for plan_grant in plan_grants:
            self._note(plan_grant, owner, source)
            for named in owner.all_time:
                row = self._row(named, source, plan_grant, is_owner=named == owner.user_id)
                self.rows[row.key] = row

    def _note(self, plan_grant: PlanGrant, owner: SourceOwner, source: str) -> None:
        if plan_grant.active and owner.user_id is None:
            self.candidates[source] = owner.candidates
        ends = plan_grant.expires_at if plan_grant.active else plan_grant.resumes_at
        moments = (self.due_at, ends, plan_grant.changes_at)
        self.due_at = min(filter(None, moments), default=None)

    def _row(
        self, user_id: UserId, source: str, plan_grant: PlanGrant, *, is_owner: bool
    ) -> EntitlementRow:
        return EntitlementRow(
            realm=self.realm,
            user_id=user_id,
            source=source,
            plan_code=plan_grant.plan_code,
            entitlements=plan_grant.features,
            active=plan_grant.active and is_owner,
            starts_at=plan_grant.starts_at,
            expires_at=plan_grant.expires_at,
            event_id=plan_grant.event_id,
            because=plan_grant.because if is_owner else f"{source} belongs to another user now.",
            guessed=plan_grant.guessed,
            per_seat=plan_grant.per_seat,
        )
