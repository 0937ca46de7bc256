"""A deployment with a database, an inbox and one worker that runs when a test says so."""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from billing.envelope import Envelope, parse
from billing.errors import UnreadableEvent
from billing.readers.registry import Reading, read_event
from models.tables import AuditLog, DeadLetter
from ops.samples.scenario import Event
from runtime.failures.dead_letters import dead_letter
from runtime.inbox.inbox import Inbox, new_token
from runtime.ledger import prepare
from runtime.ledger.observed import with_stored_fetches
from runtime.ledger.record import Ledger
from runtime.telemetry import build_metrics
from tests.ops.queries.seeded_database import SeededDatabase
from workers.batches.drainer import Drainer
from workers.batches.executor import BatchExecutor
from workers.batches.finisher import Finisher
from workers.batches.reporting import Reporter


class OpsEnv:
    """The deployment, as a test uses it."""

    def __init__(self, books: SeededDatabase, client: redis.Redis) -> None:
        self.books = books
        self.engine = books.engine
        self.client = client
        self.inbox = Inbox(client)
        self._worker = worker_of(self.engine, self.inbox)

    def work(self, _seconds: float = 0.0) -> None:
        """Apply or dead-letter everything that is due."""
        self._worker()

    def take_in(self, *events: Event) -> list[str]:
        """Accept events as ingest does, then run the worker."""
        for event in events:
            if wake := self.inbox.accept(parse(event.body)).wake:
                self.inbox.unregister(wake)
        self.work()
        return [event.id for event in events]

    def letters(self) -> dict[str, str]:
        """Return the state of every dead letter."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(DeadLetter.event_id, DeadLetter.state))
            return {key: state for key, state in rows}  # noqa: C416 - rows

    def letter(self, key: str) -> Any:
        """Return one dead letter."""
        query = sa.select(DeadLetter.__table__).where(DeadLetter.event_id == key)
        with self.engine.connect() as connection:
            return connection.execute(query).one()

    def audited(self, action: str) -> list[tuple[str, str, str | None]]:
        """Return the actor, target and reason of each audit entry with this action."""
        query = sa.select(AuditLog.actor, AuditLog.target_id, AuditLog.reason)
        query = query.where(AuditLog.action == action).order_by(AuditLog.id)
        with self.engine.connect() as connection:
            return [(actor, target, reason) for actor, target, reason in connection.execute(query)]

    def scalars(self, query: str) -> Sequence[Any]:
        """Return the only column of a query."""
        with self.engine.connect() as connection:
            return connection.scalars(sa.text(query)).all()

    def requeued(self) -> int:
        """Return how often an event was requeued."""
        return self.inbox.backlog().counters.get("readmitted", 0)


def worker_of(engine: sa.Engine, inbox: Inbox) -> Callable[[], None]:
    """Return what applies or dead-letters everything that is due in an inbox."""
    drainer = Drainer(
        queue=inbox,
        claimed=inbox,
        execute=BatchExecutor(
            record=Ledger(engine, livemode="any", accounts=frozenset()).record,
            with_stored_fetches=partial(with_stored_fetches, engine),
            now=lambda: datetime.now(UTC),
            chance=lambda: 0.0,
        ).execute,
        finisher=Finisher(
            inbox=inbox,
            write_dead_letters=partial(dead_letter, engine),
            reporter=Reporter(build_metrics(CollectorRegistry())),
            now=lambda: datetime.now(UTC),
        ),
        publish=lambda _: True,
        is_stopping=lambda: False,
        on_claim=lambda: None,
        holding=nullcontext,
    )

    def work() -> None:
        with capture_logs():
            drainer.run(new_token())

    return work


@contextmanager
def yesterday(
    monkeypatch: pytest.MonkeyPatch, *, unreadable: bool, only: Container[str] | None = None
) -> Iterator[None]:
    """Make an old release: it cannot read events (or some), or knows no event type."""

    def fail(envelope: Envelope, _: object = None) -> Reading:
        if only is not None and envelope.event_id not in only:
            return read_event(envelope)
        raise UnreadableEvent(envelope.event_id, missing="a reader")

    def ignore(envelope: Envelope, _: object = None) -> Reading:
        return read_event(replace(envelope, type="unheard.of"))

    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", fail if unreadable else ignore)
        yield
