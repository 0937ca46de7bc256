"""The pages of events: a search, and everything about one of them wherever it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Response, abort
from sqlalchemy import Connection

from billing.facts import is_observation
from billing.text import storable
from ops.console.access.people import Person, current_person
from ops.console.pages.differences import differences
from ops.console.pages.frame import Frame, found_or_404
from ops.console.pages.inbox import PageInbox
from ops.console.pages.masking import show_payload
from ops.events.facts_text import describe_fact
from ops.events.lookup import describe_unknown
from ops.events.render import ShownEvent
from ops.events.timeline import account_of, timeline_of
from ops.queries.audit import AuditEntry
from ops.queries.event_context import TwinEvent, load_actions, load_twins
from ops.queries.event_trace import find_in_inbox, load_observation, load_recorded_event

RecordLook = Callable[[Connection, Person, str, str], object]
"""Audits that a person saw what is masked."""

SUBJECT: Final = "event"


def event_pages(frame: Frame, inbox: PageInbox, record_look: RecordLook) -> Blueprint:
    """Return the routes of events."""
    pages = Blueprint("events", __name__)
    frame.add_to_navigation("Events", "events.find")
    event_page = EventPage(frame, inbox)

    @pages.get("/events/<user_id:key>")
    def show(key: str) -> Response:
        return event_page.show(storable(key))

    @pages.post("/events/<user_id:key>")
    def show_personal_data(key: str) -> Response:
        person, subject = current_person(), storable(key)

        def look() -> object:
            return frame.transact(lambda writing: record_look(writing, person, SUBJECT, subject))

        return event_page.show(subject, look)

    return pages


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

    def show(self, key: str, look: Callable[[], object] | None = None) -> Response:
        """Return the page."""
        if is_observation(key):
            return self._show_observation(key, look)
        found = self._find(key)
        shown = found.shown
        facts, no_facts_reason = shown.stated
        return self._frame.render(
            "events/show.html",
            key=key,
            found=found,
            shown=shown,
            account=account_of(shown),
            timeline=timeline_of(shown, found.actions),
            facts=[describe_fact(fact) for fact in facts],
            no_facts_reason=no_facts_reason,
            differences=differences,
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
