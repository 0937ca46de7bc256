"""Load what the page of a user shows: the answer, then everything of theirs, each list bounded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from billing.catalogue import Plan
from billing.ids import Realm
from billing.rows import PaymentRow, PurchaseRow, SubscriptionRow
from models.tables import StoredCustomer
from ops.explain.as_of import AsOfReason, describe_no_entries, explain_as_of, features_as_of
from ops.explain.reasons import Explanation, FeatureAnswer, explain, features_of
from ops.explain.render import describe_found, describe_pending
from ops.queries.audit_history import AccessHistory, load_access_history
from ops.queries.grants import GrantFilter, ListedGrant, find_grant, list_grants
from ops.queries.ineffective_events import IneffectiveEvent
from ops.queries.links import ListedLink, find_link, list_links
from ops.queries.lookups import Lookup
from ops.queries.object_pages import ListedCustomer, emails_of
from ops.queries.pages import Page, PageRequest
from ops.queries.rows import fetch
from ops.queries.user_pages import RecordedChange, change_page
from ops.queries.user_state import load_user_state
from ops.queries.waiting_events import InboxSearch

SHOWN: Final = 20
"""The rows of each list on the page of a user; a list of its own has the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserView:
    """A user now; each ``_count`` says how many there are, of which the first are shown."""

    explanation: Explanation
    notices: tuple[str, ...]
    """Sentences about how the user is known."""
    pending: tuple[str, ...]
    """Sentences about changes that have not reached all old payments."""
    grants: Sequence[ListedGrant]
    grant_count: int
    links: Sequence[ListedLink]
    link_count: int
    customers: Sequence[ListedCustomer]
    customer_count: int
    subscriptions: Sequence[SubscriptionRow]
    subscription_count: int
    purchases: Sequence[PurchaseRow]
    purchase_count: int
    payments: Sequence[PaymentRow]
    payment_count: int
    emails: Sequence[str]
    changes: Page[RecordedChange]
    without_effect: Sequence[IneffectiveEvent]
    plans: Sequence[Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAccess:
    """The access of a user at a past moment; ``missing`` says why nothing is known of it."""

    at: datetime
    history: AccessHistory
    answers: Sequence[FeatureAnswer[AsOfReason]]
    missing: str | None


def load_user(connection: Connection, realms: Sequence[Realm], lookup: Lookup) -> UserView:
    """Return everything about the user who was looked up, which is empty for an unknown one."""
    state = load_user_state(connection, lookup, realms)
    explanation = explain(state, lookup, features_of(state), InboxSearch())
    grants, grant_count = list_grants(
        connection, GrantFilter(user=state.user_id, over=True), limit=SHOWN
    )
    links, link_count = list_links(
        connection, user=state.user_id, target=None, ended=True, limit=SHOWN
    )
    customers = fetch(
        connection, ListedCustomer, StoredCustomer, StoredCustomer.user_id == state.user_id
    )
    subscriptions = sorted(state.subscriptions, key=lambda each: each.as_of, reverse=True)
    payments = sorted(state.payments, key=lambda each: each.occurred_at, reverse=True)
    return UserView(
        explanation=explanation,
        notices=tuple(describe_found(explanation)),
        pending=tuple(map(describe_pending, explanation.pending_updates)),
        grants=grants,
        grant_count=grant_count,
        links=links,
        link_count=link_count,
        customers=customers[:SHOWN],
        customer_count=len(customers),
        subscriptions=subscriptions[:SHOWN],
        subscription_count=len(subscriptions),
        purchases=state.purchases[:SHOWN],
        purchase_count=len(state.purchases),
        payments=payments[:SHOWN],
        payment_count=len(payments),
        emails=_emails(connection, customers),
        changes=change_page(connection, state.user_id, PageRequest(limit=SHOWN)),
        without_effect=state.without_effect[:SHOWN],
        plans=state.catalogue.plans,
    )


def _emails(connection: Connection, customers: Sequence[ListedCustomer]) -> Sequence[str]:
    found = emails_of(connection, [each.party for each in customers[:SHOWN]])
    return sorted({email for emails in found.values() for email in emails})[:SHOWN]


def load_statement(
    connection: Connection, user_id: str, statement: str
) -> ListedGrant | ListedLink | None:
    """Return a grant or a link of a user by its id, None if the user has none with it."""
    found = find_grant(connection, statement) or find_link(connection, statement)
    return found if found is not None and found.user_id == user_id else None


def load_past(connection: Connection, user_id: str, at: datetime) -> PastAccess:
    """Return what the audit proves about a user's access at a past moment."""
    history = load_access_history(connection, user_id, at)
    answers = explain_as_of(history, features_as_of(history))
    missing = None if history.entries else describe_no_entries(history)
    return PastAccess(at=at, history=history, answers=answers, missing=missing)
