"""The state of a link: a person's word about the user of an object or of a customer."""

from dataclasses import dataclass
from datetime import datetime

from billing.facts import LinkFields
from billing.ids import ObjectKey, UserId, stripe_id_of
from billing.objects.observations import observations
from billing.objects.ordering import ObjectHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """A link of a Stripe id to a user; ``ended`` says that a person took it back."""

    id: str
    target: str
    user_id: UserId
    since: datetime
    ended: bool


def fold_link(key: ObjectKey, history: ObjectHistory) -> LinkState:
    """Return the state of a link. What was taken back stays so; a new link has a new id."""
    facts = observations(history, LinkFields)
    said = facts[0].fields
    return LinkState(
        id=stripe_id_of(key),
        target=said.target,
        user_id=UserId(said.user_id),
        since=said.since,
        ended=any(fact.fields.ended_at for fact in facts),
    )
