"""List the subjects of the console in the order of its navigation."""

from collections.abc import Sequence

from flask import Blueprint
from sqlalchemy import Engine

from ops.console.access.access_audit import record_look
from ops.console.pages.audit import audit_pages
from ops.console.pages.customers import customers_pages
from ops.console.pages.dead_letters import dead_letter_pages
from ops.console.pages.events import event_pages
from ops.console.pages.frame import Frame
from ops.console.pages.inbox import PageInbox
from ops.console.pages.jobs import job_pages
from ops.console.pages.overview import ObservedState, overview_pages
from ops.console.pages.payments import payments_pages
from ops.console.pages.plans import plans_pages
from ops.console.pages.purchases import purchases_pages
from ops.console.pages.reconcile import reconcile_pages
from ops.console.pages.search import search_pages
from ops.console.pages.statements import PageStatements
from ops.console.pages.subscriptions import subscriptions_pages
from ops.console.pages.users import users_pages


def pages_of(
    frame: Frame, state: ObservedState, inbox: PageInbox, engine: Engine
) -> Sequence[Blueprint]:
    """Return the pages of every subject; plans are made and changed by the engine."""
    return (
        overview_pages(frame, state),
        users_pages(frame, PageStatements(frame.settings, frame.ledger), inbox),
        event_pages(frame, inbox, record_look, engine),
        dead_letter_pages(frame, inbox, engine),
        customers_pages(frame),
        subscriptions_pages(frame),
        payments_pages(frame),
        purchases_pages(frame),
        plans_pages(frame),
        reconcile_pages(frame),
        job_pages(frame, engine),
        audit_pages(frame, record_look),
        search_pages(frame),
    )
