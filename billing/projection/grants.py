"""From verdicts about plans to entitlement rows, one for every user a source ever had.

A source (a subscription, a purchase, Stripe's own features) gives its verdict on each plan it has
ever stood for. The user it belongs to now gets that verdict; everybody else whom any fact named
gets an inactive row, so that any order of the same facts leaves the same rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.ids import EventId, PlanCode, Realm, UserId
from billing.rows import EntitlementRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a source gives under one plan, whoever has it."""

    plan_code: PlanCode
    features: Mapping[str, Any]
    active: bool
    starts_at: datetime
    expires_at: datetime | None
    event_id: EventId
    because: str
    guessed: bool = False
    per_seat: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Granted:
    """Collects the rows of a realm, and whether anything waits for its user."""

    realm: Realm
    rows: dict[tuple[str, ...], EntitlementRow] = field(default_factory=dict)
    waiting: bool = False
    due_at: datetime | None = None
    """When the first thing in force now, waiting or not, ends by itself."""

    def to(
        self,
        user_id: UserId | None,
        ever: Iterable[UserId],
        source: str,
        verdicts: Iterable[Verdict],
    ) -> None:
        """Give the verdicts to the user they are for, and say to all others that it is not them."""
        for verdict in verdicts:
            self._note(verdict, user_id)
            for named in ever:
                row = self._row(named, source, verdict, theirs=named == user_id)
                self.rows[row.key] = row

    def _note(self, verdict: Verdict, user_id: UserId | None) -> None:
        if verdict.active:
            self.waiting |= user_id is None
            ends = verdict.expires_at
            if ends and (self.due_at is None or ends < self.due_at):
                self.due_at = ends

    def _row(
        self, user_id: UserId, source: str, verdict: Verdict, *, theirs: bool
    ) -> EntitlementRow:
        return EntitlementRow(
            realm=self.realm,
            user_id=user_id,
            source=source,
            plan_code=verdict.plan_code,
            entitlements=verdict.features,
            active=verdict.active and theirs,
            starts_at=verdict.starts_at,
            expires_at=verdict.expires_at,
            event_id=verdict.event_id,
            because=verdict.because if theirs else f"{source} belongs to another user now.",
            guessed=verdict.guessed,
            per_seat=verdict.per_seat,
        )
