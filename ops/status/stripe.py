"""Say what asks Stripe now, and how much was read of what Stripe allows."""

from ops.queries.stripe_runs import StripeRunRow
from ops.terminal.formats import format_count, format_duration, format_rate, format_time
from runtime.inbox.api_requests import ALLOCATION, ApiUsage


def describe_run(run: StripeRunRow) -> str:
    """Return a sentence about a run that has not ended."""
    done = f"{format_count(run.objects, 'object')} in {format_count(run.requests, 'request')}"
    since = f"{run.kind} of {run.realm} by {run.actor} since {format_time(run.started_at)}"
    now = f"at most {format_rate(run.rate)}"
    if not run.works:
        again = f"start the same command again, or `paidup runs cancel {run.id} --reason WHY`"
        now = f"no process works on it: {again}"
    return f"run {run.id}, {since}: {done}, {now}"


def describe_usage(usage: ApiUsage) -> str:
    """Return a sentence about the reads of one account and mode."""
    reads = format_count(usage.in_30_days, "read")
    said = f"{usage.account}: {reads} in 30 days, {usage.today} today; Stripe allows {ALLOCATION}"
    said += " or more (docs/stripe-api.md)"
    if usage.pause is None:
        return said
    limit = f" ({usage.pause.limit})" if usage.pause.limit else ""
    return f"{said}; paused by a 429{limit} for {format_duration(usage.pause.seconds)}"
