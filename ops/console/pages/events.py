"""The pages of events: a search, and everything about one of them wherever it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flask import Blueprint, Response, abort, request, url_for
from sqlalchemy import Connection, Engine

from billing.facts import is_observation
from billing.readers.registry import HANDLED_TYPES, IgnoredReason
from billing.text import storable
from models.events import OUTCOMES
from ops.bulk.targets import Selection
from ops.console.access.access_audit import RecordLook
from ops.console.access.people import current_person
from ops.console.pages.field_changes import field_changes
from ops.console.pages.frame import Frame, found_or_404
from ops.console.pages.inbox import PageInbox
from ops.console.pages.list_forms import (
    ListForm,
    asked_page,
    beside,
    first_page,
    lead_to,
    read_list_form,
)
from ops.console.pages.masking import show_payload
from ops.console.pages.plan_making import PlanMaker
from ops.errors import CommandFailed
from ops.events.facts_text import describe_fact
from ops.events.lookup import describe_unknown
from ops.events.render import ShownEvent
from ops.events.timeline import explain_ignored, summary_of, timeline_of
from ops.queries.audit import AuditEntry
from ops.queries.event_context import TwinEvent, load_actions, load_twins
from ops.queries.event_pages import event_page
from ops.queries.event_trace import find_in_inbox, load_observation, load_recorded_event
from ops.queries.events import EventFilter, SettledEvent, look_up_filter
from ops.queries.lookups import describe_first_missing
from ops.queries.pages import Page, PageRequest, UnusableCursor

SUBJECT: Final = "event"


def event_pages(
    frame: Frame, inbox: PageInbox, record_look: RecordLook, engine: Engine
) -> Blueprint:
    """Return the routes of events; plans to replay one are made by the engine."""
    pages = Blueprint("events", __name__)
    frame.add_to_navigation("Events", "events.find")
    one = EventPage(frame, inbox)
    maker = PlanMaker(frame=frame, engine=engine)
    search = EventSearch(frame, inbox)

    @pages.get("/events")
    def find() -> Response:
        return search.show(read_list_form(frame.zone, datetime.now(UTC)))

    @pages.get("/events/<user_id:key>")
    def show(key: str) -> Response:
        return one.show(storable(key))

    @pages.post("/events/<user_id:key>")
    def act(key: str) -> Response:
        person, subject = current_person(), storable(key)
        if "action" in request.form:
            return make_plan(subject)

        def look() -> object:
            return frame.transact(lambda writing: record_look(writing, person, SUBJECT, subject))

        return one.show(subject, look)

    def make_plan(key: str) -> Response:
        try:
            return maker.make(Selection(ids=(key,), wanted=EventFilter()), only_letters=False)
        except CommandFailed as error:
            return one.show(key, error=str(error))

    return pages


class EventSearch:
    """Shows settled events that match a form, newest first."""

    def __init__(self, frame: Frame, inbox: PageInbox) -> None:
        self._frame = frame
        self._inbox = inbox

    def show(self, form: ListForm) -> Response:
        """Return the page of the list that the request asks for."""
        wanted = EventFilter(
            types=form.types("type"),
            outcome=form.choice("outcome", OUTCOMES),
            reason=form.text("reason"),
            unfetched=form.text("unfetched") is not None,
            **form.time_range("since", "until"),
            **form.about("about"),
        )
        if form.errors:
            return self._render(form, wanted, None, status=422)
        asked = asked_page()

        def read(connection: Connection) -> FoundEvents:
            lookups = look_up_filter(connection, self._frame.realms, wanted)
            parties = {name: lookup.parties for name, lookup in lookups.items()}
            page = event_page(connection, wanted, parties, asked)
            return FoundEvents(page=page, missing=describe_first_missing(lookups))

        try:
            found = self._frame.read(read)
        except UnusableCursor:
            return lead_to(first_page())
        exact = len(found.page.rows) == 1 and found.page.rows[0].id == form.text("about")
        if exact and asked == PageRequest():
            return lead_to(url_for("events.show", key=found.page.rows[0].id))
        return self._render(form, wanted, found)

    def _render(
        self,
        form: ListForm,
        wanted: EventFilter,
        found: "FoundEvents | None",
        *,
        status: int = 200,
    ) -> Response:
        unread = [name for name in wanted.types if name not in HANDLED_TYPES]
        return self._frame.render(
            "events/find.html",
            status=status,
            form=form,
            filtered=wanted != EventFilter(),
            found=found,
            unread=unread,
            waiting=self._inbox.count(),
            types=sorted(HANDLED_TYPES),
            outcomes=OUTCOMES,
            reasons=[*map(str, IgnoredReason)],
            pages=beside(found.page) if found else {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvents:
    """A page of events; ``missing`` says that the filter names what no event names."""

    page: Page[SettledEvent]
    missing: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvent:
    """An event with what stands around it."""

    shown: ShownEvent
    actions: tuple[AuditEntry, ...]
    twins: tuple[TwinEvent, ...]


class EventPage:
    """Shows one event, or an object as Stripe's API showed it.

    ``look`` audits that personal data is shown; without it they are masked.
    """

    def __init__(self, frame: Frame, inbox: PageInbox) -> None:
        self._frame = frame
        self._inbox = inbox

    def show(
        self, key: str, look: Callable[[], object] | None = None, *, error: str | None = None
    ) -> Response:
        """Return the page; ``error`` says why a form was refused."""
        if is_observation(key):
            return self._show_observation(key, look)
        found = self._find(key)
        shown = found.shown
        facts, no_facts_reason = shown.stated
        return self._frame.render(
            "events/show.html",
            status=422 if error else 200,
            error=error,
            key=key,
            found=found,
            shown=shown,
            summary=summary_of(shown),
            timeline=timeline_of(shown, found.actions),
            facts=[describe_fact(fact) for fact in facts],
            no_facts_reason=explain_ignored(no_facts_reason),
            field_changes=field_changes,
            **_payload(shown.body, look),
        )

    def _find(self, key: str) -> FoundEvent:
        """Look in the inbox, then in the database, so that an event in between is found."""
        pending = self._inbox.search(lambda inbox: find_in_inbox(inbox, key))

        def read(connection: Connection) -> FoundEvent:
            recorded = load_recorded_event(connection, key)
            keys = {key, *(letter.event_id for letter in recorded.letters)}
            return FoundEvent(
                shown=ShownEvent(
                    event_id=key,
                    recorded=recorded,
                    pending=tuple(pending.events),
                    inbox_error=pending.error,
                ),
                actions=load_actions(connection, sorted(keys)),
                twins=load_twins(connection, recorded),
            )

        found = self._frame.read(read)
        if found.shown.recorded.empty and not pending.events:
            abort(404, describe_unknown(key, pending.error))
        return found

    def _show_observation(self, key: str, look: Callable[[], object] | None) -> Response:
        found = found_or_404(self._frame.read(lambda connection: load_observation(connection, key)))
        return self._frame.render(
            "events/observation.html",
            key=key,
            found=found,
            facts=[describe_fact(fact) for fact in found.facts],
            **_payload(found.payload.encode(), look),
        )


def _payload(body: bytes, look: Callable[[], object] | None) -> dict[str, Any]:
    """Return the payload for a template; what is shown unmasked is audited before."""
    if look is not None:
        look()
    personal = look is not None
    return {"payload": show_payload(body, personal=personal), "personal": personal}
