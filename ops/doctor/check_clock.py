"""Check this machine's clock against a server's: Stripe's signatures are valid for five minutes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ops.doctor.findings import Finding, ok, problem
from ops.terminal.formats import format_duration

_LARGEST_SKEW = timedelta(seconds=5)


def check_clock(check: str, ask: Callable[[], datetime]) -> Finding:
    """Compare the clock with a server's, read in the middle of the query."""
    before = datetime.now(UTC)
    theirs = ask()
    ours = before + (datetime.now(UTC) - before) / 2
    skew = (theirs - ours).total_seconds()
    if abs(skew) > _LARGEST_SKEW.total_seconds():
        side = "ahead of" if skew > 0 else "behind"
        says = f"its clock is {format_duration(abs(skew))} {side} this machine's: run NTP on both"
        return problem(check, says)
    return ok(check, f"clocks agree within {format_duration(max(abs(skew), 0.001))}")
