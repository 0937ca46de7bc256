"""The soak test: whole lifecycles at full speed while processes of every kind are killed.

    python -m bench.soak [--events N] [--seed N]

Events arrive shuffled, and a quarter of them again. The senders behave like Stripe: they resend an
event until it is accepted. The seed decides the order in which processes are killed. At the end
each lifecycle is compared with its expected result. Exits 1 unless no event was lost, doubled or
wrong.
"""

import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import click
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy import Engine, text

from ops.demo.observation import differences, observe
from ops.demo.plans import PLANS
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS
from ops.samples.scenario import Event
from ops.send.delivery import BUSY, DUPLICATE, UNREACHABLE, DeliveryClient
from ops.send.endpoint import Endpoint
from ops.send.traffic import TrafficPlan
from ops.up.servers.process import Process
from ops.up.servers.process_table import children_of, command_of
from ops.up.stack import Stack
from runtime.database.engine import engine_for
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings

AGAIN: Final = 0.25
"""The share of events that are delivered a second time, some while after the first."""

SENDERS: Final = 8
CALM: Final = (400, 1200)
"""Deliveries between two kills: a schedule by progress, independent of the machine's speed."""

LONGEST_DRAIN_SECONDS: Final = 600.0
_LONGEST_WAIT_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 10.0
_SHOWN: Final = 5
_KEPT: Final = ("PAIDUP_REDIS_SERVER",)

_DOUBLED: Final = (
    # Money that moves to another user has two rows, out and in, both of the same payment.
    (
        "SELECT event_id, payment_ref, kind FROM payment_events WHERE kind <> 'moved'"
        " GROUP BY 1, 2, 3 HAVING count(*) > 1"
    ),
    (
        "SELECT event_id, user_id, action, target_id FROM audit_logs WHERE event_id IS NOT NULL"
        " GROUP BY 1, 2, 3, 4, origin HAVING count(*) > 1"
    ),
    (
        "SELECT payment_ref FROM payments JOIN payment_events USING (payment_ref)"
        " GROUP BY payment_ref, payments.amount_minor, payments.amount_refunded_minor"
        " HAVING sum(payment_events.amount_minor)"
        " <> payments.amount_minor - payments.amount_refunded_minor"
    ),
)
"""Queries that find rows written twice."""


@dataclass(slots=True)
class Report:
    """The result of a run; ``problems`` has a sentence for each error."""

    events: int = 0
    deliveries: int = 0
    duplicates: int = 0
    refused: int = 0
    unanswered: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    sending_seconds: float = 0.0
    drain_seconds: float = 0.0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    dead: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """True if no event was lost, doubled, wrong or dead."""
        return not (self.lost or self.doubled or self.wrong or self.dead)


class Sending:
    """Senders that share one stream of deliveries, and a record of the answers."""

    def __init__(self, stack: Stack, deliveries: Iterator[Event], report: Report) -> None:
        self._endpoint = Endpoint.at(stack.webhook_url)
        self._secret = stack.webhook_secret
        self._deliveries = deliveries
        self._report = report
        self._lock = Lock()
        self.taken: set[str] = set()
        self._threads = [Thread(target=self._carry, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        """Start to send."""
        for thread in self._threads:
            thread.start()

    @property
    def going_on(self) -> bool:
        """True while events are not yet accepted."""
        return any(thread.is_alive() for thread in self._threads)

    def _carry(self) -> None:
        client = DeliveryClient(self._endpoint, self._secret)
        while (event := self._next()) is not None:
            self._deliver(client, event)
        client.close()

    def _next(self) -> Event | None:
        with self._lock:
            return next(self._deliveries, None)

    def _deliver(self, client: DeliveryClient, event: Event) -> None:
        while not (answer := client.post(event.body)).taken:
            with self._lock:
                self._report.refused += answer.status == BUSY
                self._report.unanswered += answer.status == UNREACHABLE
                if answer.status not in (BUSY, UNREACHABLE):
                    self._report.problems.append(f"{event.id} got {answer.status}: {answer.said}")
                    return
            time.sleep(min(answer.retry_after or 0.2, _LONGEST_WAIT_SECONDS))
        with self._lock:
            self._report.deliveries += 1
            self._report.duplicates += answer.status == DUPLICATE
            self.taken.add(event.id)


def with_repetitions(events: Iterator[Event], chance: random.Random) -> Iterator[Event]:
    """Yield each event, and some of them again a few hundred deliveries later."""
    waiting: list[Event] = []
    for event in events:
        yield event
        if chance.random() < AGAIN:
            waiting.append(event)
        if len(waiting) > 100:  # noqa: PLR2004 - far enough apart to reach another process
            yield waiting.pop(chance.randrange(len(waiting)))
    yield from waiting


class Executioner:
    """Kills one process after the other: every kind in turn, in a random order."""

    def __init__(self, stack: Stack, chance: random.Random, kills: Counter[str]) -> None:
        self._stack = stack
        self._chance = chance
        self._kills = kills
        self._line: deque[str] = deque()
        self._due = chance.randint(*CALM)
        self._victims: dict[str, Callable[[], bool]] = {
            "ingest process": lambda: self._one_of(_children(_pids(stack.ingest), "spawn_main")),
            "ingest": lambda: self._one_of(_pids(stack.ingest)),
            "pool child": lambda: self._one_of(_children(self._pools())),
            "pool": lambda: self._one_of(self._pools()),
            "supervisor": lambda: self._one_of(_pids(stack.worker)),
            "redis": lambda: _kill_server(stack.redis),
            "postgresql": lambda: _kill_server(stack.postgres),
        }

    def strike(self, deliveries: int) -> None:
        """Kill a process if it is time, after so many deliveries."""
        if deliveries < self._due:
            return
        if not self._line:
            kinds = [*self._victims, "pool child", "pool child"]
            self._line.extend(self._chance.sample(kinds, len(kinds)))
        kind = self._line.popleft()
        self._kills[kind] += self._victims[kind]()
        self._due = deliveries + self._chance.randint(*CALM)

    def _one_of(self, pids: list[int]) -> bool:
        with suppress(ProcessLookupError):
            if pids:
                os.kill(self._chance.choice(sorted(pids)), signal.SIGKILL)
                return True
        return False

    def _pools(self) -> list[int]:
        return _children(_pids(self._stack.worker), "workers.drain.pool")


def _pids(process: Process | None) -> list[int]:
    return [process.pid] if process and process.is_alive() else []


def _children(parents: list[int], command: str = "") -> list[int]:
    children = [child for pid in parents for child in children_of(pid)]
    return [pid for pid in children if command in command_of(pid)]


def _kill_server(server: Process | None) -> bool:
    if server is None or not server.is_alive():
        return False
    server.kill()
    return True


def soaked(events: int, seed: int, console: Console) -> Report:
    """Run the soak test on servers of its own, in a temporary folder."""
    chance = random.Random(seed)  # noqa: S311 - a seeded order
    traffic = _traffic(events, seed)
    report = Report()
    with _stack() as stack:
        sending = Sending(stack, with_repetitions(traffic.events(), chance), report)
        _send_under_fire(stack, sending, Executioner(stack, chance, report.kills), report, console)
        report.events = len(sending.taken)
        _drain(stack, report, console)
        engine = engine_for(stack.database_url, application_name="soak")
        console.print("holding every lifecycle against what it must have left")
        _judge(engine, sending.taken, traffic, report)
        engine.dispose()
    return report


def _traffic(events: int, seed: int) -> TrafficPlan:
    plan = TrafficPlan(
        scenarios=tuple(SCENARIOS),
        shapes=(Shape.OLD, Shape.NEW),
        seed=f"soak/{seed}",
        now=int(time.time()),
        count=1,
        shuffle=seed,
    )
    lifecycle = plan.once_each().deliveries / len(plan.kinds)
    return replace(plan, count=ceil(events / lifecycle))


@contextmanager
def _stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="paidup-soak-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        environ = {
            "PATH": os.environ["PATH"],
            "PAIDUP_PLANS": str(PLANS),
            "PAIDUP_LOG_LEVEL": "warning",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
        }
        with Stack(Path(folder) / "data", environ, ports="free") as stack:
            yield stack


def _send_under_fire(
    stack: Stack, sending: Sending, executioner: Executioner, report: Report, console: Console
) -> None:
    started = printed_at = time.monotonic()
    sending.start()
    while sending.going_on:
        executioner.strike(report.deliveries)
        stack.restart_ended()
        time.sleep(0.05)
        if time.monotonic() - printed_at > _TELL_SECONDS:
            printed_at = time.monotonic()
            console.print(f"{len(sending.taken)} events taken, {report.kills.total()} kills")
    report.sending_seconds = time.monotonic() - started


def _drain(stack: Stack, report: Report, console: Console) -> None:
    inbox = Inbox(make_redis(Settings.from_env(stack.environ), timeout=2.0))
    started = time.monotonic()
    while time.monotonic() - started < LONGEST_DRAIN_SECONDS:
        stack.restart_ended()
        with suppress(RedisError):
            if (left := inbox.backlog().events) == 0:
                break
            console.print(f"{left} events to drain{_missed(stack)}")
        time.sleep(1)
    else:
        report.problems.append(f"not drained within {LONGEST_DRAIN_SECONDS:.0f} seconds")
    report.drain_seconds = time.monotonic() - started


def _missed(stack: Stack) -> str:
    """Name the processes that must drain and have not been restarted, to explain a standstill."""
    needed = (stack.redis, stack.postgres, stack.worker)
    away = [part.name for part in needed if part is not None and not part.is_alive()]
    return f", while {' and '.join(away)} is restarting" if away else ""


def _judge(engine: Engine, taken: set[str], traffic: TrafficPlan, report: Report) -> None:
    with engine.connect() as connection:
        settled = set(connection.scalars(text("SELECT id FROM stripe_events")))
        report.lost = len(taken - settled)
        report.doubled = sum(len(connection.execute(text(q)).all()) for q in _DOUBLED)
        report.dead = connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one()
        report.problems += [f"{event} is lost" for event in sorted(taken - settled)[:_SHOWN]]
        report.problems += [f"{event} was never sent" for event in sorted(settled - taken)[:_SHOWN]]
        for lifecycle in traffic.lifecycles():
            found = differences(lifecycle.expected, observe(connection, lifecycle.expected.user_id))
            report.wrong += bool(found)
            if found and len(report.problems) < _SHOWN * 4:
                report.problems.append(f"{lifecycle.name} {lifecycle.seed}: {'; '.join(found)}")


@click.command()
@click.option(
    "--events",
    default=100_000,
    show_default=True,
    help="Number of events, not counting repetitions.",
)
@click.option("--seed", type=int, default=None, help="Seed to repeat a run. Default: random.")
def main(events: int, seed: int | None) -> None:
    """Run the soak test, print its result, and exit 1 unless no event was lost or doubled."""
    console = Console(stderr=True)
    seed = secrets.randbelow(10**6) if seed is None else seed
    console.print(f"seed {seed}")
    report = soaked(events, seed, console)
    for name, value in _lines(report, seed):
        click.echo(f"{name:<12} {value}")
    for problem in report.problems:
        click.echo(problem, err=True)
    sys.exit(0 if report.good and not report.problems else 1)


def _lines(report: Report, seed: int) -> Iterator[tuple[str, object]]:
    yield "seed", seed
    yield "events", report.events
    yield "deliveries", f"{report.deliveries}, {report.duplicates} of them answered as duplicates"
    yield "refused", f"{report.refused}, and {report.unanswered} got no answer; all were resent"
    kills = ", ".join(f"{kind} {times}" for kind, times in sorted(report.kills.items()))
    yield "killed", f"{report.kills.total()}: {kills}"
    yield "sending", f"{report.sending_seconds:.1f} s"
    yield "drain time", f"{report.drain_seconds:.1f} s"
    yield "lost", report.lost
    yield "doubled", report.doubled
    yield "wrong", report.wrong
    yield "dead", report.dead


if __name__ == "__main__":
    main()
