"""Print the result of ``paidup send``, or turn it into JSON values."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.send.delivery import UNREACHABLE
from ops.send.endpoint import Endpoint
from ops.send.load import SendTotals
from ops.send.traffic import TrafficPlan
from ops.terminal.output import Json


def words(answers: Mapping[int, int]) -> str:
    """Return the number of responses by status, as words."""
    return ", ".join(f"{_word(status)}: {number}" for status, number in sorted(answers.items()))


def _word(status: int) -> str:
    return "no response" if status == UNREACHABLE else str(status)


def as_document(plan: TrafficPlan, endpoint: Endpoint, totals: SendTotals) -> Json:
    """Return the run as JSON values."""
    return {
        "url": endpoint.url,
        "seed": plan.seed,
        "shuffle": plan.shuffle,
        "lifecycles": plan.count,
        "deliveries": totals.sent,
        "answers": {_word(status): number for status, number in sorted(totals.answers.items())},
        "retries": totals.retries,
        "seconds": round(totals.seconds, 3),
        "latency_ms": {
            f"p{percent}": round(totals.percentile(percent / 100), 3) for percent in (50, 95, 99)
        },
        "refused": [
            {"event_id": event_id, "status": answer.status, "said": answer.said}
            for event_id, answer in totals.refused
        ],
    }


def print_report(
    plan: TrafficPlan, endpoint: Endpoint, totals: SendTotals, screen: Console
) -> None:
    """Print the run as a table."""
    table = Table(title=f"{endpoint.url}", title_justify="left", show_header=False)
    table.add_row("lifecycles", f"{plan.count} (--seed {plan.seed})")
    speed = totals.sent / totals.seconds if totals.seconds else 0.0
    table.add_row("deliveries", f"{totals.sent} in {totals.seconds:.1f} s, {speed:.0f}/s")
    table.add_row("responses", words(totals.answers))
    table.add_row("retries after 503", str(totals.retries))
    latencies = (f"p{percent} {totals.percentile(percent / 100):.1f}" for percent in (50, 95, 99))
    table.add_row("latency, ms", "  ".join(latencies))
    for event_id, answer in totals.refused:
        table.add_row(f"refused {event_id}", escape(f"{_word(answer.status)}: {answer.said}"))
    screen.print(table)
