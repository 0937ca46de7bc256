"""``make bench-reconcile``: compare a million events with a Stripe of our own, and repair gaps.

    python -m bench.reconcile [--events N] [--subscribers N] [--gaps N] [--rate N] [--latency S]
                              [--live-rate N] [--live-seconds N] [--rounds N]

Stripe is a process that takes 0.15 s for a request and answers 429 above 25 a second. All events of
the list are settled here, except those of the planted gaps. A walk page by page is measured on a
tenth of the events. Then: all events, compared and put in; all objects, compared and repaired; the
same objects again; and live events beside a second comparison of all events. Exits 1 if a million
events take longer than seven minutes, if a gap is not found in its class, if anything is found that
was not planted or is left, or if a live event takes more than 1.1 times the worker's time.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from bench import beside_preview
from bench.beside_preview import LiveRound, LiveScale, LiveTraffic
from bench.machine import BenchMachine, machine
from bench.measures import inbox_of
from bench.reconcile import fill
from bench.reconcile.commands import ReconcileCommands, ReconcileEnd, stripe_of
from bench.reconcile.live_cost import BesideReconcile
from bench.reconcile.one_by_one import seconds_one_by_one
from bench.reconcile.site import ReconcileScale, ReconcileSite, build_site
from ops.plans.migrate import migrate
from runtime.database.engine import engine_for
from runtime.settings import Settings
from runtime.stripe_api.client import make_api
from tests.stripe.company import plans_text

GOAL_SECONDS: Final = 420.0
"""For a million events."""

_MILLION: Final = 1_000_000
_TENTH: Final = 10
_AGE_SECONDS: Final = 3600
"""Of the newest event: a young one may still arrive, and does not count."""


@dataclass(frozen=True, kw_only=True)
class ReconcileFigures:
    """Everything that was measured and found."""

    scale: ReconcileScale
    one_by_one: float
    """Seconds for all events page by page, by a tenth of them."""
    events: ReconcileEnd
    objects: ReconcileEnd
    again: Sequence[ReconcileEnd]
    site: ReconcileSite
    live: Sequence[LiveRound]

    @property
    def found(self) -> frozenset[tuple[str, str]]:
        """The class and the name of each difference that the first comparisons found."""
        return frozenset(self._differences())

    @property
    def astray(self) -> frozenset[tuple[str, str]]:
        """Those of customers who have no gap. Of one who has, payments differ as well."""
        known = self.site.customers()
        return (
            frozenset(
                each for each, customer in self._differences().items() if customer not in known
            )
            - self.site.expected()
        )

    def faults(self) -> list[str]:
        """Return what is not as it should be."""
        missed = self.site.expected() - self.found
        states = self.events.states() | self.objects.states()
        left = [each for end in self.again for each in end.document["differences"]]
        checks = {
            f"events took {self.events.seconds:.0f} s": self.events.seconds > self._goal(),
            f"not found: {sorted(missed)}": bool(missed),
            f"not planted: {sorted(self.astray)}": bool(self.astray),
            f"not repaired: {sorted(states)}": states != {"repaired"},
            f"found again: {left}": bool(left),
            "live events cost too much": not beside_preview.is_good(self.live),
        }
        return [says for says, is_so in checks.items() if is_so]

    def _differences(self) -> dict[tuple[str, str], str | None]:
        return self.events.differences() | self.objects.differences()

    def _goal(self) -> float:
        return GOAL_SECONDS * self.scale.events / _MILLION + _start_seconds(self.scale)


def _start_seconds(scale: ReconcileScale) -> float:
    """Return the seconds that a short form may take to start; none for a million events."""
    return 0.0 if scale.events >= _MILLION else 30.0


def measure(
    servers: BenchMachine, scale: ReconcileScale, live: LiveScale, console: Console
) -> ReconcileFigures:
    """Fill both sides and compare them."""
    site = build_site(scale)
    database, plans = servers.database("reconcile"), servers.folder / "plans.toml"
    plans.write_text(plans_text(site.company.document))
    environ = {"PAIDUP_PLANS": str(plans), "DATABASE_URL": database}
    migrate(Settings.from_env(environ))
    engine = engine_for(database, application_name="paidup bench")
    console.print(f"filling in {scale.events:,} events and {scale.subscribers} subscribers")
    fill.settle_series(database, site.series)
    fill.hear(engine, site)
    with stripe_of(scale) as key, servers.stack(database, 1, **environ, **key) as running:
        settings = Settings.from_env({**environ, **key})
        console.print("walking through a tenth of the events page by page")
        api, tenth = make_api(settings), scale.events // _TENTH
        slow = seconds_one_by_one(engine, inbox_of(running), api, tenth) * _TENTH
        commands = ReconcileCommands(environ=running.environ, rate=scale.rate)
        console.print("comparing all events, then all objects, twice")
        events = commands.run("--events-only", applies=True)
        console.print(f"events took {events.seconds:.0f} s")
        objects, again = (commands.run("--objects-only", applies=True) for _ in range(2))
        console.print(f"objects took {objects.seconds:.0f} s, and {again.seconds:.0f} s once more")
        console.print("sending live events beside a second comparison of all events")
        traffic = LiveTraffic(servers, running, engine, 0, live)
        beside = BesideReconcile(traffic=traffic, commands=commands)
        rounds = beside_preview.by_turns(live.rounds, traffic.alone, beside.measure)
        again_events = commands.run("--events-only")
    engine.dispose()
    return ReconcileFigures(
        scale=scale,
        one_by_one=slow,
        events=events,
        objects=objects,
        again=(again, again_events),
        site=site,
        live=rounds,
    )


def shown(figures: ReconcileFigures) -> Table:
    """Return the table of what was measured and found."""
    scale, events = figures.scale, figures.events
    table = Table("figure", "value", title=f"{scale.events:,} events at {scale.rate:g} requests/s")
    requests = events.document["requests"]
    table.add_row("compared, s", f"{events.seconds:.0f}")
    table.add_row("page by page, s (by a tenth)", f"{figures.one_by_one:.0f}")
    table.add_row("requests", f"{requests:,}")
    table.add_row("requests in a second", f"{requests / events.seconds:.1f}")
    planted = figures.site.expected()
    table.add_row("gaps planted", str(len(planted)))
    table.add_row("gaps found in their class", str(len(planted & figures.found)))
    table.add_row("found of customers without a gap", str(len(figures.astray)))
    table.add_row("objects compared and repaired, s", f"{figures.objects.seconds:.0f}")
    found_again = sum(len(each.differences()) for each in figures.again)
    table.add_row("found by the second comparison", str(found_again))
    return table


@click.command()
@click.option("--events", type=click.IntRange(1000), default=_MILLION, show_default=True)
@click.option("--subscribers", type=click.IntRange(10), default=300, show_default=True)
@click.option("--gaps", type=click.IntRange(1), default=100, show_default=True)
@click.option("--rate", type=click.FloatRange(1), default=25.0, show_default=True)
@click.option("--latency", type=click.FloatRange(0), default=0.15, show_default=True)
@click.option("--live-rate", type=click.IntRange(1), default=100, show_default=True)
@click.option("--live-seconds", type=click.IntRange(1), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(
    *,
    events: int,
    subscribers: int,
    gaps: int,
    rate: float,
    latency: float,
    live_rate: int,
    live_seconds: int,
    rounds: int,
) -> None:
    """Fill, compare, print, and exit 1 if a figure or a finding is not as it should be."""
    console = Console(stderr=True)
    scale = ReconcileScale(
        events=events,
        subscribers=subscribers,
        gaps=gaps,
        now=int(time.time()) - _AGE_SECONDS,
        rate=rate,
        latency=latency,
    )
    live = LiveScale(rate=live_rate, seconds=live_seconds, rounds=rounds)
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        with machine(Path(folder)) as servers:
            figures = measure(servers, scale, live, console)
    live_table = beside_preview.shown(
        live, figures.live, beside="beside a comparison", done="compared"
    )
    Console().print(shown(figures), live_table, *figures.faults())
    sys.exit(1 if figures.faults() else 0)


if __name__ == "__main__":
    main()
