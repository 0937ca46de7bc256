"""Print the result of ``paidup send``, or turn it into JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from ops.send.delivery import UNREACHABLE
from ops.send.endpoint import Endpoint
from ops.send.event_file import USERS_SHOWN, EventFile
from ops.send.load import SendTotals
from ops.send.traffic import TrafficPlan
from ops.terminal.formats import format_count, format_duration, format_rate
from ops.terminal.output import Json, print_calls, print_pairs


def words(answers: Mapping[int, int]) -> str:
    """Return the number of responses by status, as words."""
    return ", ".join(f"{_word(status)}: {number}" for status, number in sorted(answers.items()))


def _word(status: int) -> str:
    return "no response" if status == UNREACHABLE else str(status)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTraffic:
    """The traffic of a run, as its report shows it; ``users`` are the first of ``user_count``."""

    facts: Mapping[str, str]
    document: Mapping[str, Json]
    users: Sequence[str]
    user_count: int | None
    """None if nothing counted them."""
    first_event: str


def of_plan(plan: TrafficPlan) -> SentTraffic:
    """Return what a plan sends."""
    return SentTraffic(
        facts={"lifecycles": f"{plan.count} (--seed {plan.seed})"},
        document={"seed": plan.seed, "shuffle": plan.shuffle, "lifecycles": plan.count},
        users=plan.users(USERS_SHOWN),
        user_count=plan.user_count,
        first_event=next(plan.lifecycles()).events[0].id,
    )


def of_file(file: EventFile) -> SentTraffic:
    """Return what a file of events sends."""
    return SentTraffic(
        facts={"file": f"{file.name}, {format_count(file.count, 'event')}"},
        document={"file": file.name, "shuffle": file.shuffle, "events": file.count},
        users=file.users,
        user_count=None,
        first_event=file.first_event,
    )


def as_document(sent: SentTraffic, url: str, totals: SendTotals) -> Json:
    """Return the run as JSON values."""
    return {
        "url": url,
        **sent.document,
        "users": _accepted_users(sent, totals),
        "first_event": sent.first_event,
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


def print_report(sent: SentTraffic, endpoint: Endpoint, totals: SendTotals) -> None:
    """Print the run, one fact a line, then what to try next."""
    speed = format_rate(totals.sent / totals.seconds if totals.seconds else 0.0)
    latencies = (
        f"{name} {format_duration(latency / 1000)}" for name, latency in totals.latency_ms.items()
    )
    facts = {
        "endpoint": endpoint.url,
        **sent.facts,
        "deliveries": f"{totals.sent} in {format_duration(totals.seconds)}, {speed}",
        "responses": words(totals.answers),
        "retries after 503": totals.retries,
        "latency": "  ".join(latencies),
        **({"users": users} if (users := _users(sent, totals)) else {}),
    }
    for event_id, answer in totals.refused:
        facts[f"refused {event_id}"] = f"{_word(answer.status)}: {answer.said}"
    if more := totals.refusals - len(totals.refused):
        facts["refused"] = f"and {more} more"
    print_pairs(facts.items())
    if endpoint.is_loopback:
        print_calls("next", _next_calls(sent, totals))


def _accepted_users(sent: SentTraffic, totals: SendTotals) -> list[str]:
    """Return the users whom an accepted event names."""
    return [each for each in sent.users if totals.all_taken or each in totals.accepted_users]


def _users(sent: SentTraffic, totals: SendTotals) -> str:
    # Of the users that are not listed it is not known whose events were refused.
    more = (sent.user_count or 0) - len(sent.users) if totals.all_taken else 0
    users = ", ".join(_accepted_users(sent, totals))
    return f"{users} and {more} more" if more > 0 else users


def _next_calls(sent: SentTraffic, totals: SendTotals) -> dict[str, str]:
    if not totals.any_taken:
        return {"paidup doctor": "find out why the endpoint took no event"}
    users = _accepted_users(sent, totals)
    if not users:
        first = totals.first_accepted or sent.first_event
        return {
            f"paidup events show {first}": "see what became of the first event",
            "paidup status": "see what still waits",
        }
    user = quote(users[0])
    return {
        f"paidup explain {user}": "see what the user may do, and why",
        f"paidup events list --user {user}": "see the events behind it",
        "paidup status": "see what still waits",
    }
