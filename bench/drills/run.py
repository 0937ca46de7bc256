"""Carry out one drill: raise its alert on a running stack, clear it, and check the stack."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.drills.drill import Drill, DrillFailed
from bench.drills.prometheus import PROGRAM, ActiveAlert, DrillPrometheus
from bench.drills.site import LOOK_SECONDS, DrillSite, breakable_stack
from bench.soak.judgement import doubled_rows
from ops.doctor.examine import examine
from ops.doctor.findings import State
from ops.terminal.formats import format_duration
from ops.up.servers.parent_watch import ParentWatch
from ops.up.up_file import UpFile
from runtime.database.engine import engine_for

FIRING: Final = "firing"
LONGEST_FOR_SECONDS: Final = 2 * 3600.0
"""For an alert that fires only after an hour."""
_WELL_SECONDS: Final = 60.0
_MENDED_SECONDS: Final = 60.0

Say = Callable[[str], None]


class NoPrometheus(Exception):
    """There is no Prometheus on the search path."""

    def __init__(self) -> None:
        super().__init__(
            "a drill needs the programs `prometheus` and `promtool`:"
            " Debian's package `prometheus` has both"
        )


def _look_at_nothing() -> None:
    """Go on at once."""


def carry_out(
    drill: Drill,
    data_dir: Path,
    *,
    say: Say,
    firing: bool = False,
    pause: Callable[[float], None] = time.sleep,
    look: Callable[[], None] = _look_at_nothing,
) -> frozenset[str]:
    """Raise the alert and clear it; return the names of the other alerts that came meanwhile.

    With ``firing`` it waits until the alert fires; else pending is enough. Then the cause stays
    until ``look`` returns.

    Raises:
        NoPrometheus: none is installed.
        CommandFailed: the folder has no running stack that may be broken.
        DrillFailed: the alert was there before, or something is broken afterwards.
        TimeoutError: the alert did not come or did not go.
    """
    if shutil.which(PROGRAM) is None:
        raise NoPrometheus
    up = breakable_stack(data_dir)
    before = _problems(data_dir)
    with _prometheus(drill, up, pause) as prometheus:
        site = DrillSite(data_dir, prometheus, say=say, pause=pause)
        _begin(drill, site)
        say(f"{drill.name} {drill.does}")
        with drill.cause(site):
            others = _await_alert(drill, site, firing=firing)
            look()
            say("the drill takes the cause away")
        _await_end(drill, site)
        _check_rest(site, before)
        say("nothing is left: every event is settled, and doctor has no new problem")
    return others


@contextmanager
def _prometheus(
    drill: Drill, up: UpFile, pause: Callable[[float], None]
) -> Iterator[DrillPrometheus]:
    targets = {
        "paidup-ingest": [up.ingest_url],
        "paidup-console": [up.console_url],
        "paidup-worker": [up.worker_metrics_url],
    }
    with tempfile.TemporaryDirectory(prefix="paidup-drill-") as name:
        watch = ParentWatch(Path(name))
        past = drill.past() if drill.past else ""
        prometheus = DrillPrometheus(Path(name), targets, past=past)
        try:
            prometheus.start()
            _await_evaluation(prometheus, pause)
            yield prometheus
        finally:
            prometheus.stop()
            watch.release()


def _begin(drill: Drill, site: DrillSite) -> None:
    """Make sure that the alert is not there; the same drill may have been killed before.

    Raises:
        DrillFailed: it is there from another cause.
    """
    present = f"{drill.alert} is there already: clear it first"
    if drill.alert not in site.prometheus.active():
        return
    if drill.mend is None:
        raise DrillFailed(present)
    site.say(f"{drill.alert} is there: if this drill was killed, it takes away what it left")
    drill.mend(site)
    try:
        site.until(
            lambda: drill.alert not in site.prometheus.active(), present, seconds=_MENDED_SECONDS
        )
    except TimeoutError:
        raise DrillFailed(present) from None


def _await_evaluation(prometheus: DrillPrometheus, pause: Callable[[float], None]) -> None:
    """Wait until the rules have seen the samples: before them, each job seems to have no target."""
    scraped_at = datetime.now(UTC)
    while prometheus.evaluated_at() <= scraped_at:
        pause(LOOK_SECONDS)


def _await_alert(drill: Drill, site: DrillSite, *, firing: bool) -> frozenset[str]:
    """Wait for the alert, say what it says, and return what else came."""
    begun = time.monotonic()
    seen: dict[str, ActiveAlert] = {}

    def is_there() -> bool:
        seen.update(site.prometheus.active())
        return drill.alert in seen

    def fires() -> bool:
        return is_there() and seen[drill.alert].state == FIRING

    site.until(is_there, f"{drill.alert} is pending or firing")
    found = seen[drill.alert]
    waited = format_duration(time.monotonic() - begun)
    site.say(f"{found.name} is {found.state} after {waited}: {found.summary}")
    site.say(f"  runbook  {found.runbook}")
    site.say(f"  console  {site.up.console_url}{drill.page}")
    if firing:
        site.until(fires, f"{drill.alert} is firing", seconds=LONGEST_FOR_SECONDS)
        site.say(f"{found.name} is firing after {format_duration(time.monotonic() - begun)}")
    others = frozenset(seen) - {drill.alert}
    if others:
        site.say(f"with it came {', '.join(sorted(others))}")
    return others


def _await_end(drill: Drill, site: DrillSite) -> None:
    if drill.stays:
        site.say(f"the cause is gone; {drill.alert} stays until {drill.stays}")
        return
    begun = time.monotonic()
    site.until(lambda: drill.alert not in site.prometheus.active(), f"{drill.alert} is gone")
    site.say(f"{drill.alert} is gone after {format_duration(time.monotonic() - begun)}")


def _check_rest(site: DrillSite, before: frozenset[str]) -> None:
    """Wait until the stack is as it was.

    Raises:
        DrillFailed: it does not become so.
    """
    site.until_settled()
    left: frozenset[str] = frozenset()

    def is_well() -> bool:
        nonlocal left
        left = _problems(site.data_dir) - before
        return not left

    try:
        site.until(is_well, "doctor has no new problem", seconds=_WELL_SECONDS)
    except TimeoutError:
        raise DrillFailed(f"doctor has new problems: {'; '.join(sorted(left))}") from None
    if doubled := _doubled(site):
        raise DrillFailed(f"{doubled} rows were written twice")


def _doubled(site: DrillSite) -> int:
    engine = engine_for(site.up.owner_database_url, application_name="drill")
    try:
        with engine.connect() as connection:
            return doubled_rows(connection)
    finally:
        engine.dispose()


def _problems(data_dir: Path) -> frozenset[str]:
    """Return the checks of ``doctor`` that find a problem."""
    environ = {"PAIDUP_DATA_DIR": str(data_dir)}
    return frozenset(each.check for each in examine(environ) if each.state is State.PROBLEM)
