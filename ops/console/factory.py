"""What the server process of the console is made of: its connections, its gate, its tokens.

All of it is built in the process itself, since neither connections nor threads survive its start.
It is one process, so that what a token may ask is counted in one place; who needs more starts
another console beside it.
"""

import sys
import time
from typing import Final

from flask import Flask

from ops.console.app import create_app
from ops.console.connections import hasty_engine
from ops.console.entitlements import Entitlements
from ops.console.read_api import Clocks, ReadApi
from ops.console.tokens import read_tokens
from runtime import schema
from runtime.gc_tuning import spare_the_collector
from runtime.http.background import watch_beside
from runtime.http.circuit_breaker import Gate
from runtime.http.server import Server
from runtime.http.stalled_connections import Patience
from runtime.settings import Settings
from runtime.telemetry import build_metrics, configure_logging

SERVER: Final = Server(
    name="console",
    variable="PAIDUP_CONSOLE_BIND",
    address=lambda settings: settings.console_bind,
    processes=lambda _: 1,
    # Connections it holds at a time, idle ones included; few of them ask at once.
    threads=1024,
    idle_seconds=75,
)

_CONNECTIONS: Final = 8


def start_process(settings: Settings, port: int, launcher: int) -> Flask:
    """Build the console in this process and start what watches beside it."""
    configure_logging(sys.stderr, level=settings.log_level)
    tokens = read_tokens(settings.console_tokens)
    metrics = build_metrics(tokens=(token.name for token in tokens))
    gate = _gate(settings)
    gate.check()
    patience = Patience(idle_seconds=SERVER.idle_seconds)
    watch_beside(gate, patience, port=port, launcher=launcher)
    engine = hasty_engine(settings, application_name="paidup console", pool_size=_CONNECTIONS)
    api = ReadApi(
        entitlements=Entitlements(engine),
        tokens=tokens,
        rate=settings.console_rate,
        metrics=metrics,
        gate=gate,
        clocks=Clocks(monotonic=time.monotonic, time=time.time),
    )
    app = create_app(read_api=api, metrics=metrics, gate=gate)
    spare_the_collector()
    return app


def _gate(settings: Settings) -> Gate:
    # Not the connections the requests use: a pool they exhaust must not blind the probe.
    engine = hasty_engine(settings, application_name="paidup console probe", pool_size=1)

    def probe() -> tuple[str, ...]:
        trouble = schema.problem(engine)
        return (trouble,) if trouble else ()

    return Gate(probe, server="PostgreSQL", monotonic=time.monotonic)
