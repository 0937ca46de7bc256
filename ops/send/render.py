"""What a run of ``paidup send`` came to, for people and for programs."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.send.delivery import UNREACHABLE
from ops.send.endpoint import Endpoint
from ops.send.load import Tally
from ops.send.traffic import Traffic
from ops.terminal.output import Json


def words(answers: Mapping[int, int]) -> str:
    """How many requests got which answer."""
    return ", ".join(f"{_word(status)}: {number}" for status, number in sorted(answers.items()))


def _word(status: int) -> str:
    return "no answer" if status == UNREACHABLE else str(status)


def as_document(traffic: Traffic, endpoint: Endpoint, tally: Tally) -> Json:
    """The run as JSON values."""
    return {
        "url": endpoint.url,
        "seed": traffic.seed,
        "shuffle": traffic.shuffle,
        "lifecycles": traffic.count,
        "deliveries": tally.sent,
        "answers": {_word(status): number for status, number in sorted(tally.answers.items())},
        "retries": tally.retries,
        "seconds": round(tally.seconds, 3),
        "latency_ms": {
            f"p{percent}": round(tally.percentile(percent / 100), 3) for percent in (50, 95, 99)
        },
        "refused": [
            {"event_id": event_id, "status": answer.status, "said": answer.said}
            for event_id, answer in tally.refused
        ],
    }


def print_report(traffic: Traffic, endpoint: Endpoint, tally: Tally, screen: Console) -> None:
    """The run as a person reads it."""
    table = Table(title=f"{endpoint.url}", title_justify="left", show_header=False)
    table.add_row("lifecycles", f"{traffic.count} (--seed {traffic.seed})")
    speed = tally.sent / tally.seconds if tally.seconds else 0.0
    table.add_row("deliveries", f"{tally.sent} in {tally.seconds:.1f} s, {speed:.0f}/s")
    table.add_row("answers", words(tally.answers))
    table.add_row("retries after 503", str(tally.retries))
    latencies = (f"p{percent} {tally.percentile(percent / 100):.1f}" for percent in (50, 95, 99))
    table.add_row("latency, ms", "  ".join(latencies))
    for event_id, answer in tally.refused:
        table.add_row(f"refused {event_id}", escape(f"{_word(answer.status)}: {answer.said}"))
    screen.print(table)
