"""Print the result of ``paidup send``, or turn it into JSON values."""

from collections.abc import Mapping

from ops.send.delivery import UNREACHABLE
from ops.send.load import SendTotals
from ops.send.traffic import TrafficPlan
from ops.terminal.output import Json, key_values, print_table


def words(answers: Mapping[int, int]) -> str:
    """Return the number of responses by status, as words."""
    return ", ".join(f"{_word(status)}: {number}" for status, number in sorted(answers.items()))


def _word(status: int) -> str:
    return "no response" if status == UNREACHABLE else str(status)


def as_document(plan: TrafficPlan, url: str, totals: SendTotals) -> Json:
    """Return the run as JSON values."""
    return {
        "url": url,
        "seed": plan.seed,
        "shuffle": plan.shuffle,
        "lifecycles": plan.count,
        "deliveries": totals.sent,
        "answers": {_word(status): number for status, number in sorted(totals.answers.items())},
        "retries": totals.retries,
        "seconds": round(totals.seconds, 3),
        "latency_ms": {name: round(latency, 3) for name, latency in totals.latency_ms.items()},
        "refused": [
            {"event_id": event_id, "status": answer.status, "said": answer.said}
            for event_id, answer in totals.refused
        ],
    }


def print_report(plan: TrafficPlan, url: str, totals: SendTotals) -> None:
    """Print the run, one fact a line."""
    speed = totals.sent / totals.seconds if totals.seconds else 0.0
    latencies = (f"{name} {latency:.1f}" for name, latency in totals.latency_ms.items())
    facts = [
        ("endpoint", url),
        ("lifecycles", f"{plan.count} (--seed {plan.seed})"),
        ("deliveries", f"{totals.sent} in {totals.seconds:.1f} s, {speed:.0f}/s"),
        ("responses", words(totals.answers)),
        ("retries after 503", totals.retries),
        ("latency, ms", "  ".join(latencies)),
    ]
    for event_id, answer in totals.refused:
        facts.append((f"refused {event_id}", f"{_word(answer.status)}: {answer.said}"))
    print_table(key_values(facts))
