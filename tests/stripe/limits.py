"""Stripe's limits: so many requests a second for each account and endpoint, and so many at once.

Each is a bucket of one second's requests, which fills evenly. Stripe publishes these figures; how
often a read may be asked for in a month it does not enforce, and so neither does this.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.stripe.refusals import StripeRefusal


class TokenBucket:
    """A number of requests that may be made now, which grows with time up to one second's."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._left, self._at = rate, rate, now

    def has_one(self, now: float) -> bool:
        self._left = min(self._left + (now - self._at) * self._rate, self._rate)
        self._at = now
        return self._left >= 1

    def take(self) -> None:
        self._left -= 1


@dataclass
class RateLimits:
    """The limits of all accounts; ``retry_after`` is the header's value, None for no header."""

    live_account: float = 100
    test_account: float = 25
    endpoint: float = 25
    at_once: int | None = None
    retry_after: str | None = "1"
    clock: Callable[[], float] = time.monotonic
    refused: dict[str, int] = field(default_factory=dict)
    """The number of refusals by reason."""
    _buckets: dict[tuple[str, ...], TokenBucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, account: str, endpoint: str, *, livemode: bool, at_once: int) -> None:
        """Count a request.

        Raises:
            StripeRefusal: a limit is reached.
        """
        rate = self.live_account if livemode else self.test_account
        with self._lock:
            if self.at_once is not None and at_once > self.at_once:
                raise self._refusal("global-concurrency")
            whole = self._bucket((account, str(livemode)), rate)
            part = self._bucket((account, str(livemode), endpoint), self.endpoint)
            now = self.clock()
            for bucket, reason in ((whole, "global-rate"), (part, "endpoint-rate")):
                if not bucket.has_one(now):
                    raise self._refusal(reason)
            whole.take()
            part.take()

    def _bucket(self, name: tuple[str, ...], rate: float) -> TokenBucket:
        return self._buckets.setdefault(name, TokenBucket(rate, self.clock()))

    def _refusal(self, reason: str) -> StripeRefusal:
        self.refused[reason] = self.refused.get(reason, 0) + 1
        refusal = StripeRefusal(429, "Request rate limit exceeded.", code="rate_limit")
        refusal.headers["Stripe-Rate-Limited-Reason"] = reason
        if self.retry_after is not None:
            refusal.headers["Retry-After"] = self.retry_after
        return refusal
