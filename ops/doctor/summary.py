"""Say in one sentence how a deployment is. Pure: an overview and findings in, a sentence out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ops.doctor.findings import Finding, State
from ops.status.breaker import describe_workers
from ops.status.overview import Overview
from ops.terminal.formats import format_count, format_duration, format_rate
from runtime.inbox.entries import Backlog
from runtime.time_limits import TARGET_AGE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSummary:
    """The weight of the state, and the sentence about it."""

    state: State
    says: str


def summarize(seen: Overview, findings: Sequence[Finding] | None) -> StateSummary:
    """Return the most important thing that is true now.

    While the ``findings`` are not known, the overview alone decides.
    """
    if trouble := next(_troubles(seen), None):
        return StateSummary(state=State.PROBLEM, says=trouble)
    if late := _late(seen):
        return StateSummary(state=State.WARNING, says=late)
    for state in (State.PROBLEM, State.WARNING):
        if count := sum(each.state is state for each in findings or ()):
            things = format_count(count, "thing needs", "things need")
            says = f"Events are applied, and {things} attention. {_flow(seen)}"
            return StateSummary(state=state, says=says)
    works = "Events are applied." if findings is None else "Everything works."
    return StateSummary(state=State.OK, says=f"{works} {_flow(seen)}")


def _troubles(seen: Overview) -> Iterator[str]:
    if "redis" in seen.troubles and "postgresql" in seen.troubles:
        yield "Neither Redis nor PostgreSQL answers: no event is accepted and none is applied."
    if "redis" in seen.troubles:
        yield "Redis does not answer: no event is accepted, and Stripe sends them again."
    if "postgresql" in seen.troubles:
        yield "PostgreSQL does not answer: events are accepted and wait."
    inbox = seen.inbox
    if inbox and inbox.breaker:
        yield f"No event is applied: {inbox.breaker.reason}. Events are accepted and wait."
    if seen.losses.database or seen.losses.accepts:
        yield "Data was lost: `paidup doctor` says which and what to do."
    if inbox and inbox.due and not inbox.processes:
        yield f"No worker runs, and {format_count(inbox.due, 'event')} wait."


def _late(seen: Overview) -> str | None:
    inbox, need = seen.inbox, seen.need
    if inbox is None or not inbox.due or inbox.waiting_seconds <= TARGET_AGE_SECONDS:
        return None
    waits = f"The oldest due event has waited for {format_duration(inbox.waiting_seconds)}"
    if need and need.processes > inbox.processes:
        count = format_count(need.processes, "process", "processes")
        return f"{waits}: {count} are needed, and {inbox.processes} run."
    return f"{waits}; {describe_workers(inbox)} are at it."


def _flow(seen: Overview) -> str:
    if seen.database is None or seen.inbox is None:
        return ""
    hour = format_count(seen.database.last_hour, "event was", "events were")
    rate = format_rate(seen.database.last_minute / 60)
    return f"{hour} settled in the last hour ({rate} in the last minute), {_waiting(seen.inbox)}."


def _waiting(inbox: Backlog) -> str:
    return f"{inbox.events} wait" if inbox.events else "none waits"
