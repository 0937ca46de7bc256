"""The pages of dead letters: what failed alike, and actions on everything that matches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, Response, request
from sqlalchemy import Connection, Engine, select

from billing.readers.registry import HANDLED_TYPES
from billing.text import storable
from models.dead_letters import STATES
from models.tables import DeadLetter
from ops.bulk.targets import Selection
from ops.console.access.people import require
from ops.console.pages.frame import Frame
from ops.console.pages.inbox import PageInbox
from ops.console.pages.list_forms import (
    ListForm,
    asked_page,
    beside,
    first_page,
    lead_to,
    read_list_form,
)
from ops.console.pages.plan_making import PlanMaker
from ops.console_tokens import Role
from ops.errors import CommandFailed
from ops.events.dead_letter_render import error_of
from ops.queries.dead_letter_groups import COUNTED_LETTERS, letter_groups
from ops.queries.dead_letter_pages import ListedLetter, letter_page
from ops.queries.dead_letters import OPEN
from ops.queries.events import EventFilter
from ops.queries.pages import Page, PageRequest, UnusableCursor, capped_count
from runtime.failures.dead_letters import DEAD_LETTER_PENDING
from runtime.inbox.entries import PeekedEvent
from runtime.inbox.inbox import Inbox

_MOST_WAITING: Final = 100
_CHOSEN: Final = "chosen"


def dead_letter_pages(frame: Frame, inbox: PageInbox, engine: Engine) -> Blueprint:
    """Return the routes of dead letters; plans are made by the engine."""
    pages = Blueprint("dead_letters", __name__)
    frame.add_to_navigation("Dead letters", "dead_letters.show_all")
    letters = LetterList(frame, PlanMaker(frame=frame, engine=engine))

    @pages.get("/dead-letters")
    def show_all() -> Response:
        form = read_list_form(frame.zone, datetime.now(UTC))
        state = form.choice("state", STATES) or OPEN
        waiting = inbox.search(becoming_letters)
        return frame.render(
            "dead_letters/show_all.html",
            found=frame.read(lambda connection: letter_groups(connection, state=state)),
            state=state,
            states=STATES,
            counted=COUNTED_LETTERS,
            waiting=waiting,
            error_of=error_of,
            types=sorted(HANDLED_TYPES),
        )

    @pages.get("/dead-letters/list")
    def show_group() -> Response:
        return letters.show(read_list_form(frame.zone, datetime.now(UTC)))

    @pages.post("/dead-letters/list")
    def make_plan() -> Response:
        require(Role.OPERATOR)
        return letters.make_plan(
            ListForm(given=request.form, zone=frame.zone, now=datetime.now(UTC))
        )

    return pages


def becoming_letters(inbox: Inbox) -> Sequence[PeekedEvent]:
    """Return events that become dead letters as soon as a worker can write them."""
    keys = [*inbox.conflicts(), *inbox.failed_with(DEAD_LETTER_PENDING)]
    events = inbox.peek(keys[:_MOST_WAITING])
    return [each for each in events if each.state != "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLetters:
    """A page of dead letters; ``number`` is how many match, None if only a plan finds out."""

    page: Page[ListedLetter]
    number: int | None


class LetterList:
    """Shows the dead letters of a group or a filter, and makes plans of them."""

    def __init__(self, frame: Frame, maker: PlanMaker) -> None:
        self._frame = frame
        self._maker = maker

    def show(self, form: ListForm) -> Response:
        """Return the page of the list that the request asks for."""
        wanted, state = _filter(form), _state(form)
        if form.errors:
            return self._render(form, wanted, state, None, status=422)
        try:
            found = self._find(wanted, state, asked_page())
        except UnusableCursor:
            return lead_to(first_page())
        return self._render(form, wanted, state, found)

    def make_plan(self, form: ListForm) -> Response:
        """Return the answer to the form below the list; it says what is wrong, or leads on."""
        wanted, state = _filter(form), _state(form)
        if not form.errors:
            try:
                return self._maker.make(self._selection(wanted), only_letters=True)
            except CommandFailed as error:
                form.errors.append(str(error))
        return self._render(form, wanted, state, self._find(wanted, state), status=422)

    def _selection(self, wanted: EventFilter) -> Selection:
        """Return the chosen letters, or all that match.

        Raises:
            CommandFailed: none is chosen.
        """
        if request.form.get("which") != _CHOSEN:
            return Selection(ids=(), wanted=wanted)
        ids = tuple(dict.fromkeys(map(storable, request.form.getlist("key"))))
        if not ids:
            raise CommandFailed("No dead letter is chosen: tick some, or act on all that match.")
        return Selection(ids=ids, wanted=EventFilter())

    def _find(
        self, wanted: EventFilter, state: str, asked: PageRequest | None = None
    ) -> FoundLetters:
        page_asked = asked or PageRequest()

        def read(connection: Connection) -> FoundLetters:
            page = letter_page(
                connection, wanted, page_asked, states=(state,), realms=self._frame.realms
            )
            return FoundLetters(page=page, number=_number(connection, wanted, state, page))

        return self._frame.read(read)

    def _render(
        self,
        form: ListForm,
        wanted: EventFilter,
        state: str,
        found: FoundLetters | None,
        *,
        status: int = 200,
    ) -> Response:
        return self._frame.render(
            "dead_letters/show_group.html",
            status=status,
            form=form,
            kept=_kept(form.given),
            chosen=frozenset(request.form.getlist("key")),
            wanted=wanted,
            state=state,
            states=STATES,
            found=found,
            counted=COUNTED_LETTERS,
            types=sorted(HANDLED_TYPES),
            pages=beside(found.page) if found else {},
        )


def _filter(form: ListForm) -> EventFilter:
    return EventFilter(
        types=form.types("type"),
        error=form.text("error"),
        error_group=form.text("group"),
        **form.time_range("since", "until"),
        **form.about("about"),
    )


def _state(form: ListForm) -> str:
    return form.choice("state", STATES) or OPEN


def _number(
    connection: Connection, wanted: EventFilter, state: str, page: Page[ListedLetter]
) -> int | None:
    """Return how many match where that costs little: one page, or the rows of an index."""
    if not (page.after or page.before or page.searched_to):
        return len(page.rows)
    if wanted != EventFilter(error_group=wanted.error_group):
        return None
    matching = select(DeadLetter.event_id).where(DeadLetter.state == state)
    if wanted.error_group:
        matching = matching.where(DeadLetter.error_group == wanted.error_group)
    return capped_count(connection, matching, COUNTED_LETTERS)


def _kept(given: Mapping[str, str]) -> dict[str, str]:
    """Return the filter as hidden fields of the form that acts on what matches."""
    names = ("about", "type", "error", "group", "state", "since", "until")
    return {name: given[name] for name in names if given.get(name)}
