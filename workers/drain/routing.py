"""Which events Stripe's API has to be asked about before or after they are applied.

Without a key, or with one for the other mode, none: then a thin event settles as one that needs a
key, and whatever else would be fetched stays as it is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from billing.envelope import Envelope
from billing.fetching.plan import errand_of
from billing.fetching.record import Fetched
from runtime.ledger.deliveries import Delivery
from runtime.ledger.prepare import Scope
from runtime.settings import Settings
from workers.drain.retry_policy import Defer


@dataclass(frozen=True, slots=True, kw_only=True)
class Errands:
    """The rule; ``may_fetch`` says whether our key is one for objects of an event's mode."""

    may_fetch: Callable[[Envelope], bool]

    @classmethod
    def of(cls, settings: Settings) -> "Errands":
        """By the key there is; events of modes and accounts that do not count are not fetched."""
        scope = Scope(livemode=settings.effective_livemode(), accounts=settings.connect_accounts)

        def may_fetch(envelope: Envelope) -> bool:
            counts = scope.excludes(envelope) is None
            return counts and settings.may_fetch(livemode=envelope.livemode)

        return cls(may_fetch=may_fetch)

    def sort(self, delivery: Delivery) -> Delivery | Defer:
        """A delivery that can be recorded now, or the verdict that it has to be fetched first."""
        envelope = delivery.envelope
        if not envelope.thin or delivery.fetched is not None or not self.may_fetch(envelope):
            return delivery
        if errand_of(envelope):
            return Defer()
        # There is nothing to ask for, and that is known once and for all.
        return replace(delivery, fetched=Fetched(wanted=()))


NO_ERRANDS = Errands(may_fetch=lambda _: False)
"""For whoever has no key."""
