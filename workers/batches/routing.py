"""Decide which events need Stripe's API before or after they are recorded.

Without an API key, or with a key for the other mode, no event does. A thin event is then settled
as one that needs a key, and other events are settled by their payload alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from billing.envelope import Envelope
from billing.fetching.plan import plan_fetches
from runtime.ledger.deliveries import Delivery
from runtime.ledger.prepare import Scope
from runtime.settings import Settings
from workers.batches.retry_policy import Defer


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRouting:
    """The rule; ``may_fetch`` tells if the API key can read objects of an event's mode."""

    may_fetch: Callable[[Envelope], bool]

    @classmethod
    def of(cls, settings: Settings) -> "FetchRouting":
        """Return the rule for the configured API key, modes and accounts."""
        scope = Scope.of(settings)

        def may_fetch(envelope: Envelope) -> bool:
            counts = scope.excludes(envelope) is None
            return counts and settings.may_fetch(livemode=envelope.livemode)

        return cls(may_fetch=may_fetch)

    def route(self, delivery: Delivery) -> Delivery | Defer:
        """Return a delivery that can be recorded now, or ``Defer``."""
        envelope = delivery.envelope
        if not envelope.thin or delivery.observations is not None or not self.may_fetch(envelope):
            return delivery
        if plan_fetches(envelope):
            return Defer()
        # No observation says that there is nothing to fetch, so the event is never deferred.
        return replace(delivery, observations=())


NO_FETCHING = FetchRouting(may_fetch=lambda _: False)
"""The rule without an API key."""
