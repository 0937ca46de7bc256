"""A deployment with its books, its inbox, and one worker that works whenever a test lets it."""

from collections.abc import Container, Iterator, Sequence
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
from billing.readers.registry import Reading, read
from models.tables import AuditLog, DeadLetter
from ops.samples.scenario import Event
from runtime.failures.dead_letters import bury
from runtime.inbox.inbox import Inbox, new_token
from runtime.ledger import prepare as entering
from runtime.ledger.record import Ledger
from runtime.telemetry import build_metrics
from tests.ops.queries.seeded_database import Books
from workers.drain.drainer import Drainer
from workers.drain.executor import Applier
from workers.drain.finisher import Orders
from workers.drain.reporting import Reporter


class Floor:
    """What a test sees of it."""

    def __init__(self, books: Books, client: redis.Redis) -> None:
        self.books = books
        self.engine = books.engine
        self.client = client
        self.inbox = Inbox(client)
        self._drainer = self._built()

    def work(self, _seconds: float = 0.0) -> None:
        """Settle or bury everything that is due."""
        with capture_logs():
            self._drainer.run(new_token())

    def take_in(self, *events: Event) -> list[str]:
        """What ingest does with them, and then the worker."""
        for event in events:
            if wake := self.inbox.accept(parse(event.body)).wake:
                self.inbox.unregister(wake)
        self.work()
        return [event.id for event in events]

    def letters(self) -> dict[str, str]:
        """Every dead letter and its state."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(DeadLetter.event_id, DeadLetter.state))
            return {key: state for key, state in rows}  # noqa: C416 - rows

    def letter(self, key: str) -> Any:
        """One dead letter."""
        query = sa.select(DeadLetter.__table__).where(DeadLetter.event_id == key)
        with self.engine.connect() as connection:
            return connection.execute(query).one()

    def audited(self, action: str) -> list[tuple[str, str, str | None]]:
        """Who did it to what and why, in order."""
        query = sa.select(AuditLog.actor, AuditLog.target_id, AuditLog.reason)
        query = query.where(AuditLog.action == action).order_by(AuditLog.id)
        with self.engine.connect() as connection:
            return [(actor, target, reason) for actor, target, reason in connection.execute(query)]

    def scalars(self, query: str) -> Sequence[Any]:
        """The only column of a query."""
        with self.engine.connect() as connection:
            return connection.scalars(sa.text(query)).all()

    def readmitted(self) -> int:
        """How often an event was let in again."""
        return self.inbox.backlog().counters.get("readmitted", 0)

    def _built(self) -> Drainer:
        return Drainer(
            inbox=self.inbox,
            applier=Applier(
                recorder=Ledger(self.engine, livemode="any", accounts=frozenset()),
                now=lambda: datetime.now(UTC),
                chance=lambda: 0.0,
            ),
            orders=Orders(
                inbox=self.inbox,
                bury=partial(bury, self.engine),
                reporter=Reporter(build_metrics(CollectorRegistry())),
                now=lambda: datetime.now(UTC),
            ),
            publish=lambda _: True,
            is_stopping=lambda: False,
            moved=lambda: None,
            naming=nullcontext,
        )


@contextmanager
def yesterday(
    monkeypatch: pytest.MonkeyPatch, *, unreadable: bool, only: Container[str] | None = None
) -> Iterator[None]:
    """A release that could not read anything (or only some), or knew no type."""

    def fail(envelope: Envelope, _: object = None) -> Reading:
        if only is not None and envelope.event_id not in only:
            return read(envelope)
        raise UnreadableEvent(envelope.event_id, missing="a reader")

    def ignore(envelope: Envelope, _: object = None) -> Reading:
        return read(replace(envelope, type="unheard.of"))

    with monkeypatch.context() as old:
        old.setattr(entering, "read", fail if unreadable else ignore)
        yield
