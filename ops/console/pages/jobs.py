"""The pages of bulk plans and the jobs that run them: what they would do, do and did, and control.

made -> previewed -> started (or approved by a second person) -> done, pause and cancel between
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flask import Blueprint, Response, abort, request, url_for
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from billing.text import storable
from models.bulk import ITEM_STATES
from ops.bulk import control
from ops.bulk.plans import (
    REPLAY,
    By,
    PlannedAction,
    PlannedItem,
    PlanRefused,
    PreviewedChange,
    list_plans,
    read_differences,
    read_items,
    read_plan,
)
from ops.bulk.question import Question, read_question
from ops.console.access.people import current_person, require
from ops.console.pages.field_changes import FieldChange, field_changes
from ops.console.pages.frame import Frame, PageUnavailable
from ops.console.pages.list_forms import lead_to
from ops.console_tokens import Role
from runtime.idempotency import IdempotencyError, idempotent

_PLANS: Final = 50
_ITEMS: Final = 50
_DIFFERENCES: Final = 25
_UNDER_WAY: Final = frozenset({"previewing", "running"})
_HIGHEST: Final = 2**63 - 1
_PLAN: Final = f"/jobs/<int(max={_HIGHEST}):plan>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PressedButton:
    """The wish of a person about a plan, with all that the form says."""

    plan: int
    action: str
    by: By
    answers: control.PauseAnswers
    rate: float | None
    approval_above: int | None

    def described(self) -> dict[str, Any]:
        """Return what an equal request has equal."""
        return {name: value for name, value in asdict(self).items() if name != "approval_above"}

    def start(self, connection: Connection) -> object:
        """Start the plan, or ask for the approval that it needs."""
        self._require_preview(connection)
        return control.start(
            connection, self.plan, self.by, approval_above=self.approval_above, rate=self.rate
        )

    def approve(self, connection: Connection) -> object:
        """Approve the plan as a second person."""
        self._require_preview(connection)
        return control.approve(connection, self.plan, self.by)

    def _require_preview(self, connection: Connection) -> None:
        """Refuse a replay whose effect no one saw: its job could not tell what was agreed to."""
        found = read_plan(connection, self.plan)
        if found.action == REPLAY and found.previewed_at is None:
            raise PlanRefused(
                f"preview plan {self.plan} first, then {self.action} it; nothing was changed"
            )


_START: Final = "start"
_BUTTONS: Final[Mapping[str, Callable[[Connection, PressedButton], object]]] = {
    "preview": lambda connection, pressed: control.start_preview(connection, pressed.plan),
    "stop_preview": lambda connection, pressed: control.stop_preview(connection, pressed.plan),
    _START: lambda connection, pressed: pressed.start(connection),
    "approve": lambda connection, pressed: pressed.approve(connection),
    "pause": lambda connection, pressed: control.pause(connection, pressed.plan, pressed.by),
    "resume": lambda connection, pressed: control.resume(
        connection, pressed.plan, pressed.by, pressed.answers
    ),
    "cancel": lambda connection, pressed: control.cancel(connection, pressed.plan, pressed.by),
}


@idempotent("bulk_plans.change", describe=PressedButton.described)
def _press(connection: Connection, pressed: PressedButton) -> int:
    _BUTTONS[pressed.action](connection, pressed)
    return pressed.plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlan:
    """A plan with a part of its preview and of its events."""

    plan: PlannedAction
    differences: tuple[tuple[PreviewedChange, tuple[FieldChange, ...]], ...]
    more_differences: int | None
    items: tuple[PlannedItem, ...]
    more_items: int | None
    needs_approval: bool
    question: Question | None

    @property
    def ended(self) -> int:
        """The events that have a result."""
        return sum(self.plan.counts.values())

    @property
    def per_second(self) -> float | None:
        """The events that got a result in a second, on average since the start."""
        if self.plan.started_at is None or not self.ended:
            return None
        until = self.plan.ended_at or self.plan.heartbeat_at or datetime.now(UTC)
        seconds = (until - self.plan.started_at).total_seconds()
        return self.ended / seconds if seconds > 0 else None


def job_pages(frame: Frame, engine: Engine) -> Blueprint:
    """Return the routes of plans; they are changed by the engine."""
    pages = Blueprint("jobs", __name__)
    frame.add_to_navigation("Jobs", "jobs.show_all")
    jobs = Jobs(frame, engine)

    @pages.get("/jobs")
    def show_all() -> Response:
        before = _position("before")
        found = frame.read(
            lambda connection: list_plans(connection, limit=_PLANS + 1, before=before or None)
        )
        return frame.render(
            "jobs/show_all.html",
            plans=found[:_PLANS],
            older=found[_PLANS - 1].id if len(found) > _PLANS else None,
            newest=not before,
            live=any(each.state in _UNDER_WAY for each in found),
        )

    @pages.get(_PLAN)
    def show(plan: int) -> Response:
        return jobs.show(plan)

    @pages.post(_PLAN)
    def change(plan: int) -> Response:
        require(Role.OPERATOR)
        return jobs.change(plan, request.form.get("do", ""))

    return pages


class Jobs:
    """Shows one plan and carries out what a person wants with it."""

    def __init__(self, frame: Frame, engine: Engine) -> None:
        self._frame = frame
        self._engine = engine

    def show(self, plan: int, *, errors: Sequence[str] = (), status: int = 200) -> Response:
        """Return the page of a plan."""
        states = [state for state in request.args.getlist("state") if state in ITEM_STATES]
        after, differ_after = _position("after"), _position("differ_after")
        takes = "takes" in request.args

        def read(connection: Connection) -> ShownPlan | None:
            try:
                found = read_plan(connection, plan)
            except PlanRefused:
                return None
            items = read_items(
                connection, plan, after=after, limit=_ITEMS + 1, states=tuple(states)
            )
            rows = read_differences(
                connection, plan, after=differ_after, limit=_DIFFERENCES + 1, takes_only=takes
            )
            return self._shown(found, items, rows)

        shown = self._frame.read(read)
        if shown is None:
            abort(404, "There is no plan with this number; Jobs lists all of them.")
        return self._frame.render(
            "jobs/show.html",
            status=status,
            shown=shown,
            plan=shown.plan,
            errors=errors,
            live=shown.plan.state in _UNDER_WAY or shown.plan.state == "waiting",
            states=ITEM_STATES,
            chosen_state=states[0] if states else "",
            takes=takes,
            is_maker=control.person_of(shown.plan.actor)
            == control.person_of(current_person().actor),
        )

    def change(self, plan: int, action: str) -> Response:
        """Return the answer to a button: the plan's page, or what keeps it from being done."""
        if action not in _BUTTONS:
            abort(400, "The form names no action.")
        key = request.form.get("idempotency_key", "")
        try:
            pressed = self._pressed(plan, action)
            with self._engine.begin() as connection:
                # A page may be shown again as it was, with the key of a button pressed before.
                _press(connection, pressed, key=key and f"{action}:{key}", scope=pressed.by.actor)
        except PlanRefused as error:
            return self.show(plan, errors=(str(error),), status=409)
        except ValueError as error:
            return self.show(plan, errors=(str(error),), status=422)
        except IdempotencyError as error:
            abort(error.http_status, f"{error}.")
        except SQLAlchemyError as error:
            raise PageUnavailable(error) from error
        return lead_to(url_for("jobs.show", plan=plan))

    def _pressed(self, plan: int, action: str) -> "PressedButton":
        reason = storable(request.form.get("reason", "")).strip() or None
        return PressedButton(
            plan=plan,
            action=action,
            by=By(actor=current_person().actor, reason=reason),
            answers=control.PauseAnswers(allow=_lines("allow"), skip=_lines("skip")),
            rate=_rate() if action == _START else None,
            approval_above=self._frame.settings.approval_above,
        )

    def _shown(
        self, plan: PlannedAction, items: Sequence[PlannedItem], rows: Sequence[PreviewedChange]
    ) -> ShownPlan:
        above = self._frame.settings.approval_above
        more = len(rows) > _DIFFERENCES
        return ShownPlan(
            plan=plan,
            differences=tuple(
                (row, field_changes(row.before, row.after, *_said_beside(row)))
                for row in rows[:_DIFFERENCES]
            ),
            more_differences=rows[_DIFFERENCES - 1].position if more else None,
            items=tuple(items[:_ITEMS]),
            more_items=items[_ITEMS - 1].position if len(items) > _ITEMS else None,
            needs_approval=control.needs_approval(plan, above),
            question=read_question(plan.state_reason) if plan.state == "paused" else None,
        )


def _said_beside(row: PreviewedChange) -> Sequence[str | None]:
    """Return the values of a row that the page names without them."""
    stated = row.after or row.before or {}
    return row.user_id, *map(stated.get, ("source", "plan_code", "payment_ref"))


def _position(name: str) -> int:
    """Return a position in a list from the query, 0 for anything else."""
    text = request.args.get(name, "")
    return min(int(text), _HIGHEST) if re.fullmatch(r"[0-9]{1,19}", text) else 0


def _rate() -> float | None:
    text = request.form.get("rate", "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", text) or float(text) <= 0:
        raise ValueError(f"“{text}” is no number of events a second, such as 50.")
    return float(text)


def _lines(name: str) -> tuple[str, ...]:
    lines = (storable(line).strip() for line in request.form.get(name, "").splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))
