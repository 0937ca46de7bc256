"""The state of a grant: what a person gave a user, until when, and whether a person ended it."""

from dataclasses import dataclass, replace
from datetime import datetime

from billing.facts import GrantFields
from billing.ids import EventId, ObjectKey, stripe_id_of
from billing.objects.observations import observations
from billing.objects.ordering import ObjectHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantState:
    """A grant as its newest statement leaves it; ``event_id`` is the id of that statement."""

    id: str
    event_id: EventId
    fields: GrantFields

    @property
    def ends_at(self) -> datetime | None:
        """The moment at which it ends by itself or was ended; None while it has no end."""
        return min(filter(None, (self.fields.until, self.fields.ended_at)), default=None)

    def holds_at(self, now: datetime) -> bool:
        """Return True if it is in force; only what a person gives begins at its start.

        One that a person ended is not, also by a clock that was read before that moment.
        """
        until = self.fields.until
        begun = self.fields.starts_at <= now and (until is None or now < until)
        return begun and self.fields.ended_at is None


def fold_grant(key: ObjectKey, history: ObjectHistory) -> GrantState:
    """Return the state of a grant. One that was ended stays so; a new grant has a new id."""
    facts = observations(history, GrantFields)
    ended = next((fact for fact in facts if fact.fields.ended_at), None)
    newest = ended or facts[-1]
    fields = replace(newest.fields, user_id=facts[0].fields.user_id)
    return GrantState(id=stripe_id_of(key), event_id=newest.event_id, fields=fields)
