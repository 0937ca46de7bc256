"""Make a bulk plan from a form: what is chosen, why, and once however often the form is sent."""

from dataclasses import dataclass
from typing import Final

from flask import Response, abort, request, url_for
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from billing.text import storable
from ops.bulk.control import start_preview
from ops.bulk.plans import DISCARD, REPLAY, PlanRefused, PlanRequest, make_plan
from ops.bulk.targets import Selection
from ops.console.access.people import current_person, require
from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import lead_to
from ops.console.pages.statements import NotRecorded
from ops.console_tokens import Role
from ops.errors import CommandFailed
from runtime.idempotency import IdempotencyError

_ACTIONS: Final = (REPLAY, DISCARD)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMaker:
    """Makes plans for the person of a request, and asks for their previews."""

    frame: Frame
    engine: Engine

    def make(self, selection: Selection, *, only_letters: bool) -> Response:
        """Return the answer that leads to the plan that the form of the request asks for.

        Raises:
            CommandFailed: the form gives no reason, or no event matches.
        """
        require(Role.OPERATOR)
        action = request.form.get("action", "")
        if action not in _ACTIONS:
            abort(400, "The form says neither replay nor discard.")
        reason = storable(request.form.get("reason", "")).strip()
        if not reason:
            raise CommandFailed("Say why: the audit keeps the reason.")
        asked = PlanRequest(
            action=action,
            actor=current_person().actor,
            reason=reason,
            selection=selection,
            realms=self.frame.realms,
            only_letters=only_letters,
        )
        return lead_to(url_for("jobs.show", plan=self._make(asked)))

    def _make(self, asked: PlanRequest) -> int:
        try:
            made = make_plan(self.engine, asked, key=request.form.get("idempotency_key", ""))
        except IdempotencyError as error:
            abort(error.http_status, f"{error}.")
        except SQLAlchemyError as error:
            raise NotRecorded from error
        if not made.repeated:
            self._preview(made.result)
        return made.result

    def _preview(self, plan: int) -> None:
        try:
            start_preview(self.engine, plan)
        except (PlanRefused, SQLAlchemyError):
            return  # the plan is made; its page says what it does, and offers a preview
