"""The page of the audit: who did what to whom and why; reading it is audited, too."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, Response
from sqlalchemy import Connection

from ops.console.access.access_audit import RecordLook
from ops.console.access.people import current_person
from ops.console.pages.field_changes import field_changes
from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import (
    ListForm,
    asked_page,
    beside,
    first_page,
    lead_to,
    read_list_form,
)
from ops.errors import CommandFailed
from ops.queries.audit import AuditEntry, AuditFilter
from ops.queries.audit_pages import audit_page
from ops.queries.lookups import describe_missing, look_up_one
from ops.queries.pages import Page, PageRequest, UnusableCursor

_LOOKED_AT: Final = ("audit", "log")
_ACTIONS: Final = (
    "entitlement",
    "payment",
    "subscription",
    "purchase",
    "customer",
    "grant",
    "link",
    "dead_letter",
    "replay",
    "bulk_plan",
    "catalogue",
    "console",
)
"""Suggestions; each stands for all actions that begin with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEntries:
    """A page of the audit; ``missing`` says that the filter names a user whom nothing names."""

    page: Page[AuditEntry]
    missing: str | None


def audit_pages(frame: Frame, record_look: RecordLook) -> Blueprint:
    """Return the routes of the audit."""
    pages = Blueprint("audit", __name__)
    frame.add_to_navigation("Audit", "audit.find")

    @pages.get("/audit")
    def find() -> Response:
        form, person = read_list_form(frame.zone, datetime.now(UTC)), current_person()
        wanted = _filter(form)
        if form.errors:
            return _render(frame, form, None, status=422)
        frame.transact(lambda connection: record_look(connection, person, *_LOOKED_AT))
        asked = asked_page()
        try:
            found = frame.read(lambda connection: _find(frame, connection, wanted, asked))
        except UnusableCursor:
            return lead_to(first_page())
        except CommandFailed as error:
            form.errors.append(f"{error}.")
            return _render(frame, form, None, status=422)
        return _render(frame, form, found)

    return pages


def _filter(form: ListForm) -> AuditFilter:
    action = form.text("action")
    return AuditFilter(
        user=form.text("user"),
        event=form.text("event"),
        actor=form.text("actor"),
        actions=tuple((action or "").replace(",", " ").split()),
        target=form.text("target"),
        **form.time_range("since", "until"),
    )


def _find(
    frame: Frame, connection: Connection, wanted: AuditFilter, asked: PageRequest
) -> FoundEntries:
    """Return the page; who has no user yet is found by the events about them.

    Raises:
        CommandFailed: the text that names a user means several.
        UnusableCursor: the cursor is none of this list.
    """
    lookup = look_up_one(connection, frame.realms, wanted.user) if wanted.user else None
    if lookup is not None:
        user = lookup.user if lookup.users or not lookup.parties else None
        wanted = replace(wanted, user=user, parties=frozenset() if user else lookup.parties)
    page = audit_page(connection, wanted, asked)
    return FoundEntries(page=page, missing=describe_missing(lookup) if lookup else None)


def _render(
    frame: Frame, form: ListForm, found: FoundEntries | None, *, status: int = 200
) -> Response:
    return frame.render(
        "audit/find.html",
        status=status,
        form=form,
        found=found,
        actions=_ACTIONS,
        field_changes=field_changes,
        pages=beside(found.page) if found else {},
    )
