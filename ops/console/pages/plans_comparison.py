"""Compare a plans document with the plans in force: whose access it would change.

A request compares as many customers as it can in a bounded time, and the next one goes on.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, abort, request
from sqlalchemy import Connection

from billing.catalogue import Catalogue
from billing.errors import InvalidCatalogue
from billing.text import storable
from ops.console.pages.frame import Frame
from ops.plans.diff import PlansDiff, UserChange
from runtime.ledger import catalogues
from runtime.ledger.maintenance import scan
from runtime.plans_file import PlansMissing, read_plans, read_plans_text

SECONDS: Final = 1.5
_PARTIES_AT_ONCE: Final = 20
_USERS_SHOWN: Final = 100
_MOST_CHARACTERS: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansComparison:
    """The findings about some parties; ``after`` is the last one if there may be more."""

    version: int
    same: bool
    found: PlansDiff
    shown: Sequence[UserChange]
    after: str | None


def add_comparison_routes(pages: Blueprint, frame: Frame) -> None:
    """Add the comparison with the deployment's file, or with a document that is pasted."""

    @pages.get("/plans/diff")
    def compare_file() -> Response:
        path = frame.settings.plans_path
        try:
            return _compare(frame, read_plans(path), path=path)
        except PlansMissing as error:
            return _render(frame, path=None, note=f"The console has no plans file: {error}.")
        except InvalidCatalogue as error:
            return _render(frame, path=path, problems=error.problems, status=422)

    @pages.post("/plans/diff")
    def compare_document() -> Response:
        document = request.form.get("document", "")
        if len(document) > _MOST_CHARACTERS:
            abort(413, "A plans document has at most 256 KiB here.")
        try:
            return _compare(frame, read_plans_text(document), document=document)
        except InvalidCatalogue as error:
            return _render(frame, document=document, problems=error.problems, status=422)


def compare(
    connection: Connection, plans: Catalogue, *, after: str, seconds: float = SECONDS
) -> PlansComparison:
    """Compare the parties behind one, until the time is over; at least a few of them.

    The plans in force change nothing, so no party is compared with them.
    """
    record = catalogues.current_catalogue(connection)
    same = not catalogues.differs(connection, plans)
    found = PlansDiff(catalogue=record.succeeded_by(plans), limit=_USERS_SHOWN)
    ends, more = time.monotonic() + seconds, not same
    while more and (not found.parties or time.monotonic() < ends):
        parties = scan.projected_parties(connection, after, _PARTIES_AT_ONCE)
        found.add(connection, parties)
        after, more = parties[-1] if parties else after, bool(parties)
    return PlansComparison(
        version=record.version,
        same=same,
        found=found,
        shown=tuple(found.shown(connection)),
        after=after if more else None,
    )


def _compare(
    frame: Frame, plans: Catalogue, *, path: Path | None = None, document: str = ""
) -> Response:
    after = storable(request.values.get("after", ""))
    found = frame.read(lambda connection: compare(connection, plans, after=after))
    return _render(frame, path=path, document=document, found=found, began=after)


def _render(
    frame: Frame,
    *,
    path: Path | None = None,
    document: str = "",
    found: PlansComparison | None = None,
    began: str = "",
    problems: Sequence[str] = (),
    note: str = "",
    status: int = 200,
) -> Response:
    return frame.render(
        "plans/comparison.html",
        status=status,
        path=path,
        document=document,
        comparison=found,
        began=began,
        problems=problems,
        note=note,
    )
