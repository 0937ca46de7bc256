"""The soak test: whole lifecycles while the servers and processes under Paidup fail.

    python -m bench.soak [--minutes N] [--rate N] [--seed N] [--only KIND ...] [--longest-wait N]
        [--logs FOLDER]

Events arrive shuffled, and a quarter of them again. The senders behave like Stripe: they resend an
event until it is accepted. One fault follows another, every kind in turn in a random order, with
the time limits of production. At the end each lifecycle is compared with its expected result, and
the table shows for each kind how long an event waited that the fault did not concern. Exits 1
unless no event was lost, doubled or wrong, nothing is left over, and no such event waited longer
than ``--longest-wait`` while its servers were up.
"""

import os
import random
import secrets
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from bench.soak import judgement
from bench.soak.faults import SoakFault, faults_of
from bench.soak.sending import Sending, Waves
from bench.soak.servers import SoakServers, soak_folder, soak_servers
from bench.soak.site import PREFIX, SoakSite
from bench.soak.waits import FaultInterval, LongestWait, longest_waits
from ops.demo.plans import PLANS
from ops.send.endpoint import Endpoint
from ops.up.stack import Stack
from runtime.database.deadline import reading_at_length
from runtime.database.engine import engine_for
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings
from tests.redis_failover import url_through

LONGEST_WAIT_SECONDS: Final = 10.0
LONGEST_DRAIN_SECONDS: Final = 600.0
CALM_SECONDS: Final = (2.0, 5.0)
"""Between two faults: for so long everything has run, and no event has waited."""

SETTLING_SECONDS: Final = 30.0
"""The next fault begins after this even if events still wait."""

WAITING_SECONDS: Final = 1.0
"""An age of the oldest event below this means that no event waits."""

_LOOK_SECONDS: Final = 0.05
_PRINT_SECONDS: Final = 10.0
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakOptions:
    """The length of a run, deliveries a second, the seed, and the only kinds of faults if any.

    ``longest_wait`` is in seconds. The services' logs are copied to ``logs``.
    """

    minutes: float
    rate: float
    seed: int
    only: tuple[str, ...] = ()
    longest_wait: float = LONGEST_WAIT_SECONDS
    logs: Path | None = None


@dataclass(slots=True)
class SoakResult:
    """The result of a run; ``problems`` has a sentence for each error."""

    events: int = 0
    deliveries: int = 0
    duplicates: int = 0
    refused: int = 0
    unanswered: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    waits: Mapping[str, LongestWait] = field(default_factory=dict)
    sending_seconds: float = 0.0
    drain_seconds: float = 0.0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    dead: int = 0
    left_over: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """True if nothing was lost, doubled, wrong, dead, left over or late."""
        return not (
            self.lost or self.doubled or self.wrong or self.dead or self.left_over or self.problems
        )


class SoakRun:
    """One fault after another on a running stack, and when each began and ended."""

    def __init__(self, site: SoakSite, only: Collection[str], console: Console) -> None:
        self._site = site
        self._faults = [fault for fault in faults_of(site) if not only or fault.kind in only]
        self._line: deque[SoakFault] = deque()
        self._console = console
        self._fault: SoakFault | None = None
        self.intervals: list[FaultInterval] = []
        self.unexpected: set[str] = set()
        """A sentence for each part that ended although no fault ended it."""

    def strike(self) -> None:
        """Let the next fault happen, and wait until the flow goes on and is calm."""
        if not self._line:
            self._line.extend(self._site.chance.sample(self._faults, len(self._faults)))
        self._fault = fault = self._line.popleft()
        self._console.print(f"{datetime.now(UTC):%H:%M:%S} {fault.kind}")
        began_at = time.time()
        fault.begin()
        up_at = began_at if fault.down == "never" else time.time()
        up_at = self._look_on(fault.seconds, up_at)
        fault.end()
        if fault.down == "until it ends":
            up_at = time.time()
        up_at = self._settle(up_at, self._site.chance.uniform(*CALM_SECONDS))
        self.intervals.append(FaultInterval(kind=fault.kind, began_at=began_at, up_at=up_at))

    def _look_on(self, seconds: float, up_at: float) -> float:
        """Restart what ended, for so long; return the moment from which everything was up."""
        until = time.monotonic() + seconds
        while True:
            up_at = self._up_at(up_at)
            if time.monotonic() >= until:
                return up_at
            time.sleep(_LOOK_SECONDS)

    def _settle(self, up_at: float, calm_seconds: float) -> float:
        """Wait until it has been calm for so long: at first no event has waited yet."""
        until = time.monotonic() + SETTLING_SECONDS
        calm_since = time.monotonic()
        while time.monotonic() < min(until, calm_since + calm_seconds):
            up_at = self._up_at(up_at)
            if not self._is_calm():
                calm_since = time.monotonic()
            time.sleep(_LOOK_SECONDS)
        return up_at

    def _is_calm(self) -> bool:
        with suppress(RedisError):
            return not self._site.ended() and self._age() < WAITING_SECONDS
        return False

    def _age(self) -> float:
        backlog = self._site.inbox.backlog()
        return backlog.oldest_seconds if backlog.events else 0.0

    def _up_at(self, up_at: float) -> float:
        if not (ended := self._site.ended()):
            return up_at
        for part in ended:
            if self._fault and part != self._fault.ends:
                self.unexpected.add(f"{part} ended by itself: {self._fault.kind}")
        self._site.restart_ended()
        return time.time()


def soak(options: SoakOptions, console: Console) -> SoakResult:
    """Run the soak test on servers of its own, in a temporary folder."""
    result = SoakResult()
    with soak_folder() as folder:
        given = Settings.from_env(os.environ).redis_server
        with soak_servers(folder, given) as servers, _stack(folder, servers) as stack:
            _run(stack, servers, options, console, result)
            if options.logs is not None:
                shutil.copytree(folder / "data" / "log", options.logs, dirs_exist_ok=True)
    # The watch of the folder has ended by now, too.
    left = [*judgement.processes_left(folder)]
    result.left_over += len(left)
    result.problems += left
    return result


def _run(
    stack: Stack, servers: SoakServers, options: SoakOptions, console: Console, result: SoakResult
) -> None:
    sending = Sending(Endpoint.at(stack.webhook_url), stack.webhook_secret, options.rate)
    chance = random.Random(options.seed)  # noqa: S311 - a seeded order
    inbox = Inbox(make_redis(Settings.from_env(stack.environ), timeout=2.0))
    site = SoakSite(stack=stack, servers=servers, sending=sending, chance=chance, inbox=inbox)
    run = SoakRun(site, options.only, console)
    ends_at = time.monotonic() + 60 * options.minutes
    waves = Waves(options.seed, lambda: time.monotonic() >= ends_at)
    started = time.monotonic()
    sending.start(waves.deliveries())
    while sending.going_on:
        if time.monotonic() < ends_at:
            run.strike()
        else:
            site.restart_ended()
            time.sleep(_LOOK_SECONDS)
    result.sending_seconds = time.monotonic() - started
    _drain(site, result, console)
    console.print("comparing every user with the result of their lifecycle")
    _judge(site, run, waves, result)
    result.problems += _late(result.waits, options.longest_wait)


@contextmanager
def _stack(folder: Path, servers: SoakServers) -> Iterator[Stack]:
    environ = {
        "PATH": os.environ["PATH"],
        "PAIDUP_PLANS": str(PLANS),
        "PAIDUP_LOG_LEVEL": "warning",
        "DATABASE_URL": servers.postgres.url,
        "REDIS_URL": url_through(servers.relay),
        "PAIDUP_REDIS_REPLICAS": "1",
    }
    with Stack(folder / "data", environ, ports="free") as stack:
        yield stack


def _drain(site: SoakSite, result: SoakResult, console: Console) -> None:
    started = printed_at = time.monotonic()
    while time.monotonic() - started < LONGEST_DRAIN_SECONDS:
        site.restart_ended()
        with suppress(RedisError):
            if (left := site.inbox.backlog().events) == 0:
                break
            if time.monotonic() - printed_at > _PRINT_SECONDS:
                printed_at = time.monotonic()
                console.print(f"{left} events to drain")
        time.sleep(_LOOK_SECONDS)
    else:
        result.problems.append(f"not drained within {LONGEST_DRAIN_SECONDS:.0f} seconds")
    result.drain_seconds = time.monotonic() - started


def _judge(site: SoakSite, run: SoakRun, waves: Waves, result: SoakResult) -> None:
    answers = site.sending.answers
    taken = set(answers.taken_at)
    result.events, result.deliveries = len(taken), answers.deliveries
    result.duplicates, result.refused = answers.duplicates, answers.refused
    result.unanswered = answers.unanswered
    result.problems += [*answers.problems, *sorted(run.unexpected)]
    result.faults = Counter(interval.kind for interval in run.intervals)
    engine = engine_for(site.stack.database_url, application_name="soak")
    # Hundreds of thousands of events on a busy machine: no time limit may end the comparison.
    with engine.connect() as connection, reading_at_length(connection):
        settled, dead = judgement.settled_ids(connection), judgement.dead_letters(connection)
        lost = taken - settled - site.refused
        wrong = [*judgement.wrong_users(connection, waves.lifecycles())]
        left = [*judgement.rows_left(connection)]
        result.doubled = judgement.doubled_rows(connection)
        times = judgement.event_times(
            connection, answers.taken_at, site.involved, site.held_parties
        )
        result.waits = longest_waits(run.intervals, times)
    left += judgement.keys_left_for_good(site.inbox.client, PREFIX)
    result.lost, result.wrong, result.left_over = len(lost), len(wrong), len(left)
    result.dead = len(dead ^ site.refused)
    engine.dispose()
    result.problems += [f"{event} is lost" for event in sorted(lost)[:_SHOWN]]
    result.problems += [f"{event} was never sent" for event in sorted(settled - taken)[:_SHOWN]]
    result.problems += [*wrong[:_SHOWN], *left[:_SHOWN]]


def _late(waits: Mapping[str, LongestWait], longest_wait: float) -> Iterator[str]:
    for kind, longest in waits.items():
        if longest.seconds >= longest_wait:
            began = datetime.fromtimestamp(longest.taken_at, UTC)
            yield f"{longest.event_id} waited {longest.seconds:.1f} s from {began:%H:%M:%S}: {kind}"


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="How long events are sent.")
@click.option("--rate", default=100.0, show_default=True, help="Deliveries a second.")
@click.option("--seed", type=int, default=None, help="Seed to repeat a run. Default: random.")
@click.option("--only", multiple=True, help="Let only faults of this kind happen; may be repeated.")
@click.option(
    "--longest-wait",
    default=LONGEST_WAIT_SECONDS,
    show_default=True,
    help="Seconds that an event may wait which a fault does not concern.",
)
@click.option(
    "--logs", type=click.Path(path_type=Path), help="Copy the services' logs to this folder."
)
def main(**given: Any) -> None:
    """Run the soak test, print its result, and exit 1 unless all is well."""
    console = Console(stderr=True)
    if given["seed"] is None:
        given["seed"] = secrets.randbelow(10**6)
    options = SoakOptions(**given)
    console.print(f"seed {options.seed}")
    result = soak(options, console)
    for name, value in _lines(result, options.seed):
        click.echo(f"{name:<12} {value}")
    Console().print(_table(result))
    for problem in result.problems:
        click.echo(problem, err=True)
    sys.exit(0 if result.good else 1)


def _table(result: SoakResult) -> Table:
    table = Table("fault", "times", "longest wait of another event, s")
    for kind, longest in sorted(result.waits.items(), key=lambda each: -each[1].seconds):
        table.add_row(kind, str(result.faults[kind]), f"{longest.seconds:.1f}")
    return table


def _lines(result: SoakResult, seed: int) -> Iterator[tuple[str, object]]:
    yield "seed", seed
    yield "events", result.events
    again = f"{result.duplicates} of them answered as duplicates"
    yield "deliveries", f"{result.deliveries}, {again}"
    yield "refused", f"{result.refused}, and {result.unanswered} got no answer; all were resent"
    yield "faults", f"{result.faults.total()} of {len(result.faults)} kinds"
    yield "sending", f"{result.sending_seconds:.1f} s"
    yield "drain time", f"{result.drain_seconds:.1f} s"
    yield "lost", result.lost
    yield "doubled", result.doubled
    yield "wrong", result.wrong
    yield "dead", result.dead
    yield "left over", result.left_over


if __name__ == "__main__":
    main()
