"""The first page: the state in one sentence, what needs attention, and how it has been."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, request

from ops.console.pages.frame import Frame, found_or_404
from ops.console.pages.history_charts import ShownChart, charts_of
from ops.console.pages.refreshed import RefreshedValue
from ops.doctor.examine import examine_servers
from ops.doctor.findings import Finding, State
from ops.doctor.summary import summarize
from ops.status.breaker import describe_breaker
from ops.status.overview import Overview, take_overview
from ops.status.room import describe_room
from ops.terminal.disks import describe_disk
from runtime.history.intervals import History
from runtime.history.reader import read_history
from runtime.history.spans import DAY, HOUR, HistorySpan
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.time_limits import HISTORY_REDIS_SECONDS

FIRST_WAIT_SECONDS: Final = 2.0
"""How long the first visitor waits for the numbers; who comes later never waits."""

HOUR_NAME: Final = "hour"
SPANS: Final[Mapping[str, HistorySpan]] = {HOUR_NAME: HOUR, "day": DAY}
"""The spans of the charts, by their names in a URL."""

_FINDINGS_SECONDS: Final = 30.0

_PAGES: Final[Mapping[str, tuple[str, str]]] = {
    "dead letters": ("dead_letters.show_all", "Dead letters"),
    "plans": ("plans.show_all", "Plans"),
    "prices": ("plans.show_all", "Plans"),
    "former prices": ("plans.show_all", "Plans"),
    "kept prices": ("plans.show_all", "Plans"),
    "empty plans": ("plans.show_all", "Plans"),
    "unnamed": ("purchases.show_all", "Purchases"),
    "subscriptions": ("subscriptions.show_all", "Subscriptions"),
    "items": ("subscriptions.show_all", "Subscriptions"),
    "order": ("subscriptions.show_all", "Subscriptions"),
    "lines": ("payments.show_all", "Payments"),
    "line items": ("payments.show_all", "Payments"),
    "invoices": ("payments.show_all", "Payments"),
    "users": ("payments.show_all", "Payments"),
    "features": ("users.find", "Users"),
    "access": ("users.find", "Users"),
    "fetching": ("events.find", "Events"),
    "backlog": ("events.find", "Events"),
    "PAIDUP_APPROVAL_ABOVE": ("jobs.show_all", "Jobs"),
}
"""The page that helps with a finding, by its check; any other one is about the servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedState:
    """The state of a deployment, each part of it read while someone looks at it."""

    overview: RefreshedValue[Overview]
    findings: RefreshedValue[Sequence[Finding]]
    histories: Mapping[str, RefreshedValue[History]]
    """The history of each span, by its name in a URL."""


def overview_pages(frame: Frame, state: ObservedState) -> Blueprint:
    """Return the routes of the first page and of the tables of its charts."""
    pages = Blueprint("overview", __name__)
    frame.add_to_navigation("Overview", "overview.show")

    @pages.get("/")
    def show() -> Response:
        seen = state.overview.get(wait=FIRST_WAIT_SECONDS)
        if seen is None:
            return frame.render("overview/unknown.html", status=503)
        return _show(frame, seen, state.findings.get(), _charts(frame, state))

    @pages.get("/history/<name>")
    def show_table(name: str) -> Response:
        charts = {each.name: each for each in _charts(frame, state, wait=FIRST_WAIT_SECONDS)}
        chart = found_or_404(charts.get(name))
        return frame.render(
            "overview/table.html", chart=chart, name=name, span=_span_asked(), spans=SPANS
        )

    return pages


def _show(
    frame: Frame,
    seen: Overview,
    findings: Sequence[Finding] | None,
    charts: Sequence[ShownChart],
) -> Response:
    return frame.render(
        "overview/show.html",
        seen=seen,
        summary=summarize(seen, findings),
        attention=[each for each in findings or () if each.state is not State.OK],
        checked=findings is not None,
        page_of=_PAGES,
        breaker=describe_breaker(seen.inbox) if seen.inbox else None,
        room=describe_room(seen.room) if seen.room else None,
        span=_span_asked(),
        spans=SPANS,
        charts=charts,
        disks=[(disk, describe_disk(disk)) for disk in seen.disks],
    )


def _span_asked() -> str:
    asked = request.args.get("span", HOUR_NAME)
    return asked if asked in SPANS else HOUR_NAME


def _charts(frame: Frame, state: ObservedState, *, wait: float = 0.0) -> Sequence[ShownChart]:
    known = state.histories.get(_span_asked())
    history = known.get(wait=wait) if known else None
    return charts_of(history, frame.zone) if history else ()


def observe(settings: Settings) -> ObservedState:
    """Return the state of a deployment, of which nothing is read yet."""
    return ObservedState(
        overview=RefreshedValue(lambda: take_overview(settings), name="overview", seconds=2),
        findings=RefreshedValue(
            lambda: tuple(examine_servers(settings)), name="findings", seconds=_FINDINGS_SECONDS
        ),
        histories=_histories(settings),
    )


def _histories(settings: Settings) -> Mapping[str, RefreshedValue[History]]:
    """Return the histories; none without a Redis, which the overview itself complains about."""
    if settings.redis_url is None:
        return {}
    client = make_redis(settings, timeout=HISTORY_REDIS_SECONDS)

    def history_of(name: str, span: HistorySpan) -> RefreshedValue[History]:
        return RefreshedValue(
            lambda: read_history(client, span),
            name=f"history of the last {name}",
            seconds=HOUR.seconds / 2,
        )

    return {name: history_of(name, span) for name, span in SPANS.items()}
