"""A database with sample lifecycles, recorded by the ledger as workers do."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any

from sqlalchemy import Engine

from billing.envelope import Envelope, parse
from billing.fetching.plan import plan_fetches
from ops.demo.plans import PLANS
from ops.samples.api_shapes import Shape
from ops.samples.emails import email_of
from ops.samples.lifecycles.registry import Lifecycle, compose
from ops.samples.scenario import Event
from runtime.database.engine import engine_for
from runtime.ledger.catalogues import install_first
from runtime.ledger.deliveries import Delivery, Settlement
from runtime.ledger.record import Ledger
from runtime.plans_file import read_plans
from tests.stripe.account import FakeStripeAccount


class SeededDatabase:
    """Records lifecycles for a test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = engine_for(url, application_name="tests")
        self.now = datetime.now(UTC)
        self._ledger = Ledger(
            self.engine, livemode="any", accounts=frozenset(), deciding_seconds=inf
        )
        install_first(self.engine, read_plans(PLANS), actor="tests", reason="tests")

    def close(self) -> None:
        self.engine.dispose()

    def tell(self, name: str, *, user: str = "usr_1", seed: str = "s") -> Lifecycle:
        """Record a whole lifecycle that ends now."""
        lifecycle = self.compose(name, user=user, seed=seed)
        self.record(lifecycle.events)
        return lifecycle

    def compose(self, name: str, *, user: str = "usr_1", seed: str = "s") -> Lifecycle:
        now = int(self.now.timestamp())
        return compose(name, shape=Shape.NEW, seed=seed, now=now, user_id=user)

    def record(self, events: Iterable[Event]) -> Sequence[Settlement]:
        return self.settle(parse(event.body) for event in events)

    def observe(self, event_id: str, stated: dict[str, Any]) -> str:
        """Record a thin event about an object as Stripe's API shows it; return the observation."""
        account = FakeStripeAccount()
        account.put(stated)
        payload = {
            "id": event_id,
            "type": f"{stated['object']}.updated",
            "created": int(self.now.timestamp()),
            "livemode": False,
            "data": {"object": stated},
        }
        envelope = parse(json.dumps(account.thin_event(payload, id=event_id)).encode())
        (seen,) = account.fetch(*plan_fetches(envelope), at=self.now)
        delivery = Delivery(
            envelope=envelope,
            received_at=self.now,
            attempts=0,
            origin="stripe",
            key=event_id,
            observations=(seen,),
        )
        self._ledger.record([delivery])
        return seen.id

    def settle(
        self, envelopes: Iterable[Envelope], *, origin: str = "stripe"
    ) -> Sequence[Settlement]:
        return self._ledger.record(
            [
                Delivery(
                    envelope=envelope,
                    received_at=self.now,
                    attempts=0,
                    origin=origin,
                    key=envelope.event_id,
                )
                for envelope in envelopes
            ]
        )


def tell_sharing(books: SeededDatabase, address: str, *users: str) -> None:
    """Record a lifecycle of each user; their customers have one e-mail address."""
    for user in users:
        events = books.compose("renewal", user=user, seed=user).events
        own = email_of(user).encode()
        books.settle(parse(each.body.replace(own, address.encode())) for each in events)
