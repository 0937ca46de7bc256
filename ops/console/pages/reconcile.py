"""The pages of comparisons with Stripe: the newest statement, every run, and what differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, abort, request
from sqlalchemy import Connection

from ops.console.pages.frame import Frame
from ops.reconcile.agreement import words_of
from ops.reconcile.differences import (
    DifferenceClass,
    DifferenceState,
    FoundDifference,
    read_differences,
)
from ops.reconcile.past_runs import NoSuchRun, PastRun, list_runs, newest_agreement, read_run
from ops.reconcile.render import in_order

_RUNS: Final = 50
_DIFFERENCES: Final = 200
_HIGHEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """The differences of one class, by state; a class without any has none."""

    classed: DifferenceClass
    words: str
    states: Sequence[tuple[DifferenceState, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """A run with its differences, as far as a page lists them."""

    run: PastRun
    counts: Sequence[ClassCount]
    differences: Sequence[FoundDifference]
    more: int
    chosen: DifferenceClass | None


def reconcile_pages(frame: Frame) -> Blueprint:
    """Return the routes of comparisons with Stripe."""
    pages = Blueprint("reconcile", __name__)
    frame.add_to_navigation("Stripe", "reconcile.show_all")

    @pages.get("/reconcile")
    def show_all() -> Response:
        before = request.args.get("before", type=int)
        runs, newest = frame.read(
            lambda connection: (
                list_runs(connection, limit=_RUNS + 1, before=_row_number(before)),
                newest_agreement(connection) if before is None else None,
            )
        )
        older = runs[_RUNS - 1].id if len(runs) > _RUNS else None
        return frame.render(
            "reconcile/show_all.html",
            runs=runs[:_RUNS],
            newest=newest,
            older=older,
            is_first=before is None,
        )

    @pages.get(f"/reconcile/<int(max={_HIGHEST}):run>")
    def show(run: int) -> Response:
        chosen = _chosen_class(request.args.get("class"))
        try:
            shown = frame.read(lambda connection: _shown(connection, run, chosen))
        except NoSuchRun:
            abort(404)
        return frame.render("reconcile/show.html", shown=shown, words_of=words_of)

    return pages


def _row_number(before: int | None) -> int | None:
    return None if before is None else min(before, _HIGHEST)


def _chosen_class(word: str | None) -> DifferenceClass | None:
    return next((each for each in DifferenceClass if each == word), None)


def _shown(connection: Connection, run: int, chosen: DifferenceClass | None) -> ShownRun:
    """Return the page about a run.

    Raises:
        NoSuchRun: no reconciliation has this number.
    """
    found = read_run(connection, run)
    every = in_order(read_differences(connection, run))
    wanted = [each for each in every if chosen in (None, each.classed)]
    return ShownRun(
        run=found,
        counts=[
            *filter(lambda each: each.states, (_count(each, every) for each in DifferenceClass))
        ],
        differences=wanted[:_DIFFERENCES],
        more=max(len(wanted) - _DIFFERENCES, 0),
        chosen=chosen,
    )


def _count(classed: DifferenceClass, every: Sequence[FoundDifference]) -> ClassCount:
    states = [each.state for each in every if each.classed is classed]
    return ClassCount(
        classed=classed,
        words=words_of(classed),
        states=[(state, number) for state in DifferenceState if (number := states.count(state))],
    )
