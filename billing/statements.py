"""Statements of people: a grant or a link, made or ended, and the fact that each states.

Nothing that Stripe sends changes a statement. It ends when it says so, or when a person ends it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from billing.facts import Fact, Fields, GrantedFeatures, GrantFields, Kind, LinkFields, Rank
from billing.ids import EVERY_REALM, CustomerId, EventId, ObjectKey, Realm, object_key

GRANT_PREFIX: Final = "grant_"
"""The beginning of a grant's id, which is the source of what it gives."""

LINK_PREFIX: Final = "link_"
"""The beginning of a link's id."""

STATEMENT_PREFIX: Final = "op_"
"""The beginning of a statement's id, which stands where an event's id would."""


class StatementKind(StrEnum):
    """The kinds of statements."""

    GRANT = "grant"
    GRANT_ENDED = "grant_ended"
    LINK = "link"
    LINK_ENDED = "link_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorGrant:
    """A plan or features for a user; ``id`` is ``grant_...``.

    ``features`` and ``per_seat`` are those stated, or those of the plan when the grant was made.
    """

    id: str
    user_id: str
    plan_code: str | None
    features: GrantedFeatures
    per_seat: tuple[str, ...] = ()
    starts_at: datetime
    until: datetime | None
    realm: Realm = EVERY_REALM


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLink:
    """The user of an object of Stripe or of a customer; ``id`` is ``link_...``."""

    id: str
    user_id: str
    target: str
    realm: Realm


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorStatement:
    """A grant or a link that a person made, or ended; ``id`` is ``op_...``."""

    id: EventId
    subject: OperatorGrant | OperatorLink
    ends: bool
    actor: str
    reason: str
    made_at: datetime
    link_since: datetime | None = None
    """The moment at which a link that ends was made."""

    @property
    def kind(self) -> StatementKind:
        """Its word in tables and messages."""
        if isinstance(self.subject, OperatorGrant):
            return StatementKind.GRANT_ENDED if self.ends else StatementKind.GRANT
        return StatementKind.LINK_ENDED if self.ends else StatementKind.LINK

    @property
    def object_key(self) -> ObjectKey:
        """The key of the grant or link."""
        return object_key(self.subject.realm, self.subject.id)

    def fact(self) -> Fact:
        """Return the fact that it states."""
        target = self.subject.target if isinstance(self.subject, OperatorLink) else None
        linked = (object_key(self.subject.realm, target),) if target else ()
        return Fact(
            kind=Kind.LINK if target else Kind.GRANT,
            object_key=self.object_key,
            event_id=self.id,
            event_type=f"operator.{self.kind}",
            created_at=self.made_at,
            rank=Rank.DELETED if self.ends else Rank.CREATED,
            fields=self._fields(),
            before=None,
            customer_id=CustomerId(target) if target and target.startswith("cus_") else None,
            mentions=(self.object_key, *linked),
        )

    def _fields(self) -> Fields:
        subject, ended_at = self.subject, self.made_at if self.ends else None
        if isinstance(subject, OperatorLink):
            since = self.link_since or self.made_at
            return LinkFields(
                target=subject.target, user_id=subject.user_id, since=since, ended_at=ended_at
            )
        return GrantFields(
            user_id=subject.user_id,
            plan_code=subject.plan_code,
            features=subject.features,
            per_seat=subject.per_seat,
            starts_at=subject.starts_at,
            until=subject.until,
            actor=self.actor,
            reason=self.reason,
            ended_at=ended_at,
        )
