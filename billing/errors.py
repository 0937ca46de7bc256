"""The errors that ``billing`` raises on purpose.

BillingError
 ├── MalformedEvent     signed, but not a Stripe event
 ├── UnreadableEvent    a Stripe event without a usable id of its object
 └── InvalidCatalogue   a plans document with mistakes, all of them listed
"""


class BillingError(Exception):
    """The base of every error that ``billing`` raises on purpose."""


class MalformedEvent(BillingError):
    """The body is not a Stripe event, even if its signature is valid."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a Stripe event: {reason}")


class UnreadableEvent(BillingError):
    """A handled event does not identify its object, so it can state no fact."""

    def __init__(self, event_id: str, missing: str) -> None:
        self.event_id = event_id
        self.missing = missing
        super().__init__(
            f"event {event_id} has no usable {missing};"
            " look at its payload, then replay or discard it"
        )


class InvalidCatalogue(BillingError):
    """A plans document cannot be used; ``problems`` lists every mistake in it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("the plans are not usable: " + "; ".join(problems))
