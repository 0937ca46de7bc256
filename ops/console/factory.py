"""Build the server process of the console: its connections, its circuit breaker, its tokens.

Everything is built in the process itself, because neither connections nor threads survive a fork.
It is one process, so that the rate of a token is counted in one place. If you need more, start
another console beside it.
"""

import sys
import threading
import time
from typing import Final

from flask import Flask

from ops.console.access.console_access import access_of, start_closing_windows
from ops.console.admission import Admission
from ops.console.app import create_app
from ops.console.backlog import report_backlog
from ops.console.changes import Changes
from ops.console.connections import ask, hasty_engine, page_engine
from ops.console.entitlements import Entitlements
from ops.console.newest_cursor import LOOK_SECONDS, NewestCursor
from ops.console.pages.frame import Frame
from ops.console.pages.inbox import PageInbox
from ops.console.pages.overview import observe
from ops.console.pages.routes import ConsolePages
from ops.console.pages.subjects import pages_of
from ops.console.read_api import ReadApi
from ops.console.statements_api import StatementsApi
from ops.console_tokens import read_tokens
from ops.queries.parties import configured_realms
from ops.statements.deployment import grants_of, links_of
from runtime import schema
from runtime.changes.feed import read_newest
from runtime.database.engine import make_engine
from runtime.gc_tuning import reduce_gc
from runtime.guard import start_loop
from runtime.http.background import start_background_threads
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.server import ServerSpec
from runtime.http.stalled_connections import ConnectionReaper
from runtime.http.stop_signal import call_on_stop
from runtime.ledger.deployment import ledger_of
from runtime.settings import Settings
from runtime.telemetry import Metrics, build_metrics, configure_logging
from runtime.time_limits import CHANGE_WAIT_SECONDS, STALLED_SECONDS

SERVER: Final = ServerSpec(
    name="console",
    variable="PAIDUP_CONSOLE_BIND",
    address=lambda settings: settings.console_bind,
    processes=lambda _: 1,
    # Open connections, idle ones included; few of them have a request at any moment.
    threads=1024,
    idle_seconds=75,
)

_CONNECTIONS: Final = 8
_CHANGES_CONNECTIONS: Final = 4
_STATEMENT_CONNECTIONS: Final = 2
_SESSION_CONNECTIONS: Final = 2
_PEOPLE_CONNECTIONS: Final = 2
_PLAN_CONNECTIONS: Final = 2
_PAGE_CONNECTIONS: Final = 4
_MOST_WAITING: Final = 256
"""Requests that wait for a change at once: a quarter of the threads."""


def start_process(settings: Settings, port: int, launcher: int) -> Flask:
    """Build the console in this process and start its background threads."""
    configure_logging(sys.stderr, level=settings.log_level)
    tokens = read_tokens(settings.console_tokens)
    metrics = build_metrics(tokens=(token.name for token in tokens))
    breaker = _breaker(settings)
    breaker.check()
    # A client that waits for a change looks like one that owes the rest of its request.
    reaper = ConnectionReaper(
        CHANGE_WAIT_SECONDS + STALLED_SECONDS, idle_seconds=SERVER.idle_seconds
    )
    start_background_threads(breaker, reaper, port=port, launcher=launcher)
    engine = hasty_engine(settings, application_name="paidup console", pool_size=_CONNECTIONS)
    admission = Admission(
        tokens=tokens,
        rate=settings.console_rate,
        metrics=metrics,
        monotonic=time.monotonic,
        time=time.time,
    )
    api = ReadApi(
        entitlements=Entitlements(engine, configured_realms(settings)),
        changes=_changes(settings),
        newest_cursor=_newest_cursor(settings, breaker),
        admission=admission,
        metrics=metrics,
        breaker=breaker,
    )
    app = create_app(
        read_api=api,
        statements_api=_statements_api(settings, admission, metrics, breaker),
        pages=_pages(settings),
        metrics=metrics,
        breaker=breaker,
        shared=report_backlog(settings),
    )
    reduce_gc()
    return app


def _pages(settings: Settings) -> ConsolePages:
    # Pools of their own: people who log in wait for nobody, and keep nobody waiting.
    reading = hasty_engine(
        settings, application_name="paidup console sessions", pool_size=_SESSION_CONNECTIONS
    )
    writing = make_engine(
        settings, application_name="paidup console people", pool_size=_PEOPLE_CONNECTIONS
    )
    # A plan of many events takes long to make, and must not keep a login waiting.
    planning = make_engine(
        settings, application_name="paidup console plans", pool_size=_PLAN_CONNECTIONS
    )
    if settings.console_secrets:
        start_closing_windows(writing)
    frame = Frame(
        settings, page_engine(settings, pool_size=_PAGE_CONNECTIONS), ledger_of(settings, writing)
    )
    return ConsolePages(
        frame=frame,
        access=access_of(settings, reading=reading, writing=writing),
        subjects=pages_of(frame, observe(settings), PageInbox(settings), planning),
    )


def _statements_api(
    settings: Settings, admission: Admission, metrics: Metrics, breaker: CircuitBreaker
) -> StatementsApi:
    # Connections of their own, with the time limits of writers; people state little at once.
    engine = make_engine(
        settings,
        application_name="paidup console statements",
        pool_size=_STATEMENT_CONNECTIONS,
    )
    ledger = ledger_of(settings, engine)
    return StatementsApi(
        ledger=ledger,
        grants=grants_of(settings, ledger, hits=metrics.idempotent_hits),
        links=links_of(settings, ledger, hits=metrics.idempotent_hits),
        zone=settings.time_zone,
        admission=admission,
        breaker=breaker,
    )


def _changes(settings: Settings) -> Changes:
    # A pool of its own: all who wait read at once, and must not keep entitlements waiting.
    return Changes(
        hasty_engine(
            settings,
            application_name="paidup console change pages",
            pool_size=_CHANGES_CONNECTIONS,
        )
    )


def _newest_cursor(settings: Settings, breaker: CircuitBreaker) -> NewestCursor:
    # A pool of its own, too: those who wait are woken however busy the others are.
    engine = hasty_engine(settings, application_name="paidup console changes", pool_size=1)
    newest = NewestCursor(
        lambda: ask(engine, read_newest), most_waiting=_MOST_WAITING, failed=breaker.failed
    )
    stopped = threading.Event()
    start_loop("newest-cursor", newest.look, pause=lambda: LOOK_SECONDS, stopped=stopped)
    call_on_stop(newest.stop)
    return newest


def _breaker(settings: Settings) -> CircuitBreaker:
    # A pool of its own: requests that exhaust theirs must not block the probe.
    engine = hasty_engine(settings, application_name="paidup console probe", pool_size=1)

    def probe() -> tuple[str, ...]:
        trouble = schema.problem(engine)
        return (trouble,) if trouble else ()

    return CircuitBreaker(probe, server="PostgreSQL", monotonic=time.monotonic)
