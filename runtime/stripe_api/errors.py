"""Name the failures of a request to Stripe's API by what Paidup does about them.

ApiFailure
 ├── ApiLimited    429: nothing of ours asks until ``seconds`` are over
 │    └── RateReached   nothing was sent: we would ask more often than we allow ourselves
 ├── ApiAway       no usable answer, or a 5xx: retry later
 ├── ApiForbidden  the key is wrong or may not read this: an operator has to act
 ├── ApiRefused    any other 4xx: a retry cannot succeed
 └── BudgetAway    nothing was sent: Redis, which counts the requests of all, does not answer
"""

import re
from typing import Final

PAGE_OF_KEYS: Final = "https://dashboard.stripe.com/apikeys"
"""Where an operator gives a key its rights."""

_KEYS: Final = re.compile(r"'?\b[sr]k_[A-Za-z0-9_*.\u2026]+'?")
"""A key, as Stripe shows it in a message: with stars or dots in its middle."""

_RIGHTS: Final = re.compile(r"'(?:rak_)?([a-z_]+_(?:read|write))'")
"""A right in Stripe's sentences: ``'rak_customer_read'``, or ``"Prices Read" ('plan_read')``."""


class ApiFailure(Exception):
    """Root of all reasons for a request without an answer."""


class ApiLimited(ApiFailure):
    """Stripe answers 429: Paidup, or the whole account, asks too often.

    ``limit`` is the one that was reached, in Stripe's words (``Stripe-Rate-Limited-Reason``).
    ``sent`` is False if nothing was sent, because an earlier 429 still pauses us.
    """

    def __init__(self, seconds: float, limit: str = "", *, sent: bool = True) -> None:
        self.seconds = seconds
        self.limit = limit
        self.sent = sent
        which = f", {limit}" if limit else ""
        super().__init__(f"Stripe's API limits requests (429{which}): no request for {seconds:g} s")


class RateReached(ApiLimited):
    """Our own rate lets no request through for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.limit = ""
        self.sent = False
        ApiFailure.__init__(
            self,
            f"Paidup asks Stripe's API no more often than it may: no request for {seconds:.1f} s;"
            " PAIDUP_STRIPE_REQUESTS_PER_SECOND sets the rate",
        )


class ApiAway(ApiFailure):
    """No answer, a 5xx, or an answer that cannot be read."""


class ApiForbidden(ApiFailure):
    """401 or 403: all or nearly all requests with this key would fail.

    ``rights`` are those that a restricted key lacks, as Stripe names them: ``customer_read``.
    """

    def __init__(self, reason: str) -> None:
        self.rights = tuple(_RIGHTS.findall(reason))
        if self.rights:
            reason = (
                f"it lacks the right {' and '.join(self.rights)}; give it to the key"
                f" at {PAGE_OF_KEYS}"
            )
        super().__init__(f"Stripe's API refuses STRIPE_API_KEY: {without_keys(reason)}")


class ApiRefused(ApiFailure):
    """Any other 4xx: a retry of this request cannot succeed."""


class BudgetAway(ApiFailure):
    """Redis does not answer, so the requests of all processes together are unknown."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "Redis counts what all processes ask Stripe, and does not answer"
            f" ({reason}): start the command again once it does; it goes on where it stopped"
        )


def without_keys(text: str) -> str:
    """Return a message of Stripe's without any part of an API key."""
    return _KEYS.sub("STRIPE_API_KEY", text)
