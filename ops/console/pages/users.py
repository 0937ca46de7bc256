"""Users: find one, see what they may do and why, now or at a past moment, and change that."""

from collections.abc import Sequence
from datetime import UTC, datetime

from flask import Blueprint, Response, request, url_for
from sqlalchemy import Connection

from billing.text import storable
from ops.console.pages.frame import Frame
from ops.console.pages.grant_form import GrantForm
from ops.console.pages.grants import add_grant_routes
from ops.console.pages.inbox import PageInbox
from ops.console.pages.list_forms import (
    ListForm,
    asked_page,
    beside,
    first_page,
    lead_to,
    read_list_form,
)
from ops.console.pages.statements import PageStatements
from ops.console.pages.user_links import add_link_routes
from ops.console.pages.user_view import PastAccess, UserView, load_past, load_statement, load_user
from ops.queries.lookups import Lookup, describe_missing, look_up
from ops.queries.pages import UnusableCursor
from ops.queries.recent_users import recently_changed
from ops.queries.search import search
from ops.queries.user_pages import change_page
from ops.queries.waiting_events import InboxSearch, waiting_events

_MOST_USERS = 50


def users_pages(frame: Frame, statements: PageStatements, inbox: PageInbox) -> Blueprint:
    """Return the routes of users, with those of grants and links."""
    pages = Blueprint("users", __name__)
    frame.add_to_navigation("Users", "users.find")
    about = _UserPages(frame, inbox)

    @pages.get("/users")
    def find() -> Response:
        return about.find(storable(request.args.get("q", "")).strip())

    @pages.get("/users/show")
    def show() -> Response:
        return about.show(storable(request.args.get("user_id", "")))

    @pages.get("/users/changes")
    def show_changes() -> Response:
        return about.show_changes(storable(request.args.get("user_id", "")))

    @pages.get("/users/inbox")
    def show_inbox() -> Response:
        return about.show_inbox(storable(request.args.get("user_id", "")))

    add_grant_routes(pages, frame, statements)
    add_link_routes(pages, frame, statements)
    return pages


class _UserPages:
    """The pages that show users."""

    def __init__(self, frame: Frame, inbox: PageInbox) -> None:
        self._frame = frame
        self._inbox = inbox

    def find(self, text: str) -> Response:
        """Lead to the only user whom a text means; list them if there are several, or none."""
        if not text:
            recent = self._frame.read(lambda connection: recently_changed(connection, _MOST_USERS))
            return self._frame.render("users/find.html", q="", recent=recent)
        lookup, beginning = self._frame.read(lambda connection: self._find(connection, text))
        if len(lookup.users) == 1:
            return lead_to(url_for("users.show", user_id=lookup.user))
        return self._frame.render(
            "users/find.html",
            q=text,
            lookup=lookup,
            beginning=beginning,
            users=lookup.users[:_MOST_USERS],
            missing=describe_missing(lookup),
        )

    def show(self, user_id: str) -> Response:
        """Show a user; a text that means another one is searched for instead."""
        lookup = self._look_up(user_id)
        if not user_id or ((lookup.users or lookup.parties) and lookup.users != (user_id,)):
            return lead_to(url_for("users.find", q=user_id))
        form = read_list_form(self._frame.zone, datetime.now(UTC))
        at = _past(form)

        statement = storable(request.args.get("done", ""))

        def load(connection: Connection) -> tuple[UserView, PastAccess | None, object]:
            past = load_past(connection, user_id, at) if at else None
            done = load_statement(connection, user_id, statement) if statement else None
            return load_user(connection, self._frame.realms, lookup), past, done

        seen, past, done = self._frame.read(load)
        known = seen.explanation.known
        return self._frame.render(
            "users/show.html",
            status=422 if form.errors else 200 if known else 404,
            user_id=user_id,
            seen=seen,
            past=past,
            errors=form.errors,
            grant=GrantForm.empty(user_id, known=known),
            plans=seen.plans,
            done=done,
        )

    def show_changes(self, user_id: str) -> Response:
        """Show every change of what a user may do, page by page."""
        try:
            page = self._frame.read(
                lambda connection: change_page(connection, user_id, asked_page())
            )
        except UnusableCursor:
            return lead_to(first_page())
        return self._frame.render(
            "users/changes.html", user_id=user_id, page=page, beside=beside(page)
        )

    def show_inbox(self, user_id: str) -> Response:
        """Show what waits in Redis about a user: a page of its own, as the search takes longer."""

        def search(connection: Connection) -> InboxSearch:
            lookup = look_up(connection, self._frame.realms, user_id)
            return self._inbox.search(
                lambda inbox: waiting_events(connection, inbox, self._frame.realms, lookup)
            )

        found = self._frame.read(search)
        return self._frame.render("users/inbox.html", user_id=user_id, found=found)

    def _find(self, connection: Connection, text: str) -> tuple[Lookup, Sequence[str]]:
        """Return whom a text means, and the users whose ids begin with it if it means no one."""
        lookup = look_up(connection, self._frame.realms, text)
        if lookup.users:
            return lookup, ()
        hits = search(connection, self._frame.realms, text)
        return lookup, [hit.id for hit in hits if hit.kind == "user"]

    def _look_up(self, text: str) -> Lookup:
        return self._frame.read(lambda connection: look_up(connection, self._frame.realms, text))


def _past(form: ListForm) -> datetime | None:
    """Return the past moment that the form asks about, None for now."""
    at = form.time("at")
    if at is not None and at > form.now:
        form.errors.append(f"“{form.text('at')}” is in the future: below is when access ends.")
        return None
    return at
