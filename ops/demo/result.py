"""The result of the demo: requests, responses, rows, and everything that is wrong with them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ops.demo.metrics import Readings
from ops.demo.observation import Observed, differences
from ops.demo.stopwatch import Stopwatch
from ops.samples.lifecycles.expected import Expected
from ops.samples.scenario import Event
from ops.send.delivery import ACCEPTED, EndpointResponse
from ops.terminal.output import Json, to_json

SETTLED = "billing_events_settled_total"
MUST_MOVE = (
    'billing_webhook_received_total{result="accepted"}',
    'billing_webhook_received_total{result="duplicate"}',
    'billing_webhook_received_total{result="invalid"}',
    'billing_webhook_invalid_sig_total{reason="mismatch"}',
    'billing_webhook_replay_block_total{reason="duplicate"}',
    'idempotent_hits_total{operation="ingest"}',
    'billing_entitlement_changes_total{change="granted"}',
)
_ROWS_OF = {
    "user_entitlements": "grants",
    "payments": "payments",
    "payment_events": "payment_events",
    "audit_logs": "audit",
}
"""The rows of an observation by the name of their table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One event and the response that Stripe would have got."""

    event: Event
    answer: EndpointResponse


@dataclass(slots=True, kw_only=True)
class DemoStep:
    """One lifecycle: the events sent, and the answers of the database and the read API."""

    title: str
    expected: Expected
    deliveries: list[Delivered] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    """The outcome of each settled event, by its id."""
    observed: Observed | None = None
    read_response: EndpointResponse | None = None

    @property
    def read_features(self) -> object:
        """The features that the read API lists, None if it lists none."""
        return self.read_response.field("features") if self.read_response else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionCheck:
    """A request that must be rejected, or not applied twice, and the response to it."""

    title: str
    must: int
    answer: EndpointResponse


@dataclass(slots=True, kw_only=True)
class DemoResult:
    """Everything that happened during the demo."""

    steps: list[DemoStep] = field(default_factory=list)
    rejections: list[RejectionCheck] = field(default_factory=list)
    metrics: Readings = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    first_paid_seconds: float = 0.0
    """Seconds from the start of the command until the first paid user was shown."""

    @property
    def sent(self) -> int:
        """The number of different events sent."""
        return sum(len(step.deliveries) for step in self.steps)


def metric_problems(steps: Readings, sent: int) -> Iterator[str]:
    """Yield a sentence for each metric that does not show what happened."""
    yield from (f"{name} did not move" for name in MUST_MOVE if name not in steps)
    settled = sum(step for name, step in steps.items() if name.startswith(SETTLED))
    if settled != sent:
        yield f"{SETTLED} changed by {settled:.0f}, but {sent} events were sent"


def step_problems(step: DemoStep) -> Iterator[str]:
    """Yield a sentence for everything that is wrong with one lifecycle."""
    for delivered in step.deliveries:
        if delivered.answer.status != ACCEPTED:
            yield f"{delivered.event.type} was answered {delivered.answer.status}, not 202"
    observed = step.observed
    if observed is None:
        return
    yield from (f"{step.title}: {complaint}" for complaint in differences(step.expected, observed))
    if not observed.audit:
        yield f"{step.title}: the audit trail is empty"
    if step.read_features != step.expected.features:
        answer = step.read_response
        yield f"{step.title}: the read API says {answer.said if answer else None}"


def problems(result: DemoResult) -> Iterator[str]:
    """Yield a sentence for everything that is wrong."""
    for step in result.steps:
        yield from step_problems(step)
    for check in result.rejections:
        if check.answer.status != check.must:
            yield f"{check.title}: answered {check.answer.status}, not {check.must}"
    if result.rejections[0].answer.field("result") is None:
        yield "the response to the repeated event has no cached result"
    yield from metric_problems(result.metrics, result.sent)


def as_document(result: DemoResult, stopwatch: Stopwatch) -> Json:
    """Return the whole result as JSON values; all durations are in seconds."""
    return to_json(
        {
            "ok": not result.problems,
            "problems": result.problems,
            "seconds": stopwatch.total,
            "parts": stopwatch.parts,
            "first_paid_user_after": round(result.first_paid_seconds, 1),
            "steps": [_step_document(step) for step in result.steps],
            "rejections": [
                {"title": check.title, **_response(check.answer)} for check in result.rejections
            ],
            "metrics": result.metrics,
        }
    )


def _step_document(step: DemoStep) -> dict[str, object]:
    sent = [
        {
            "event_id": delivered.event.id,
            "type": delivered.event.type,
            **_response(delivered.answer),
            "outcome": step.outcomes.get(delivered.event.id),
        }
        for delivered in step.deliveries
    ]
    return {
        "title": step.title,
        "user_id": step.expected.user_id,
        "read_api": step.read_response.document if step.read_response else None,
        "sent": sent,
        **{table: getattr(step.observed, rows) for table, rows in _ROWS_OF.items()},
    }


def _response(answer: EndpointResponse) -> dict[str, object]:
    return {"status": answer.status, "body": answer.document}
