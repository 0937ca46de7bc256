"""What the demonstration did and found, and what of it is not as it must be."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ops.demo.metrics import Readings
from ops.demo.observation import Observed, complaints
from ops.samples.lifecycles.expected import Expected
from ops.samples.scenario import Event
from ops.send.delivery import ACCEPTED, Answer

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One request and what Stripe would have been answered."""

    event: Event
    answer: Answer


@dataclass(slots=True, kw_only=True)
class Act:
    """One lifecycle: what was sent, and what the database and the read API say because of it."""

    title: str
    expected: Expected
    deliveries: list[Delivered] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    """What became of each event that is settled, by its id."""
    observed: Observed | None = None
    told: Answer | None = None

    @property
    def told_features(self) -> object:
        """What the read API says the user may do, None where it did not say."""
        document = self.told.document if self.told else None
        return document.get("features") if isinstance(document, dict) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """A request that must not pass, or not twice, and what it got."""

    title: str
    must: int
    answer: Answer


@dataclass(slots=True, kw_only=True)
class Account:
    """Everything that happened, for the printers."""

    acts: list[Act] = field(default_factory=list)
    knocks: list[Knock] = field(default_factory=list)
    metrics: Readings = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    first_paid_seconds: float = 0.0
    """From the start of the command until the first paid user was shown."""

    @property
    def sent(self) -> int:
        """How many different events were sent."""
        return sum(len(act.deliveries) for act in self.acts)


def result_of(answer: Answer) -> object:
    """The cached result in the answer to a duplicate, None while there is none."""
    document = answer.document
    return document.get("result") if isinstance(document, dict) else None


def unmoved(steps: Readings, sent: int) -> Iterator[str]:
    """The metrics that do not tell what happened."""
    yield from (f"{name} did not move" for name in MUST_MOVE if name not in steps)
    settled = sum(step for name, step in steps.items() if name.startswith(SETTLED))
    if settled != sent:
        yield f"{SETTLED} moved by {settled:.0f}, and {sent} events were sent"


def act_problems(act: Act) -> Iterator[str]:
    """One sentence for everything about one lifecycle that is not as it must be."""
    for delivered in act.deliveries:
        if delivered.answer.status != ACCEPTED:
            yield f"{delivered.event.type} was answered {delivered.answer.status}, not 202"
    observed = act.observed
    if observed is None:
        return
    yield from (f"{act.title}: {complaint}" for complaint in complaints(act.expected, observed))
    if not observed.audit:
        yield f"{act.title}: nothing stands in the audit trail"
    if act.told_features != act.expected.features:
        yield f"{act.title}: the read API says {act.told.said if act.told else None}"


def problems(account: Account) -> Iterator[str]:
    """One sentence for everything that is not as it must be."""
    for act in account.acts:
        yield from act_problems(act)
    for knock in account.knocks:
        if knock.answer.status != knock.must:
            yield f"{knock.title}: answered {knock.answer.status}, not {knock.must}"
    if result_of(account.knocks[0].answer) is None:
        yield "the replayed event was not answered with its cached result"
    yield from unmoved(account.metrics, account.sent)
