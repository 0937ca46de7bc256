"""What can come of asking Stripe's API instead of an answer, named by what is to be done about it.

ApiFailure
 ├── ApiLimited    we ask too much: nobody asks until ``seconds`` are over
 ├── ApiAway       no answer, or one that says that Stripe has trouble: later it may answer
 ├── ApiForbidden  the key is wrong or may not read this: an operator has to act
 └── ApiRefused    this very request will never be answered
"""


class ApiFailure(Exception):
    """The root of everything that keeps a request from being answered."""


class ApiLimited(ApiFailure):
    """Stripe answers 429: we are too fast, or the account is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"Stripe's API limits our requests and wants {seconds:g} s of rest")


class ApiAway(ApiFailure):
    """No answer, a 5xx, or an answer that nobody can read."""


class ApiForbidden(ApiFailure):
    """401 or 403: every request with this key would meet the same, or nearly every one."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Stripe's API refuses STRIPE_API_KEY: {reason}")


class ApiRefused(ApiFailure):
    """Another 4xx: asking for this again is of no use."""
