"""Name the failures of a request to Stripe's API by what Paidup does about them.

ApiFailure
 ├── ApiLimited    429: no worker asks until ``seconds`` are over
 ├── ApiAway       no usable answer, or a 5xx: retry later
 ├── ApiForbidden  the key is wrong or may not read this: an operator has to act
 └── ApiRefused    any other 4xx: a retry cannot succeed
"""


class ApiFailure(Exception):
    """Root of all reasons for a request without an answer."""


class ApiLimited(ApiFailure):
    """Stripe answers 429: Paidup, or the whole account, asks too often."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"Stripe's API limits requests (429): no request for {seconds:g} s")


class ApiAway(ApiFailure):
    """No answer, a 5xx, or an answer that cannot be read."""


class ApiForbidden(ApiFailure):
    """401 or 403: all or nearly all requests with this key would fail."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Stripe's API refuses STRIPE_API_KEY: {reason}")


class ApiRefused(ApiFailure):
    """Any other 4xx: a retry of this request cannot succeed."""
