"""What can be wrong with what Stripe or an operator hands us.

BillingError
 ├── MalformedEvent     signed, but not a Stripe event
 ├── UnreadableEvent    a Stripe event whose object cannot be identified
 └── InvalidCatalogue   a plans document with problems, all of them named
"""


class BillingError(Exception):
    """The root of everything ``billing`` raises on purpose."""


class MalformedEvent(BillingError):
    """The body is not a Stripe event, whoever signed it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a Stripe event: {reason}")


class UnreadableEvent(BillingError):
    """A handled event lacks what identifies its object, so nothing can be stated about it."""

    def __init__(self, event_id: str, missing: str) -> None:
        self.event_id = event_id
        self.missing = missing
        super().__init__(
            f"event {event_id} has no usable {missing};"
            " look at its payload, then replay or discard it"
        )


class InvalidCatalogue(BillingError):
    """A plans document cannot be used; ``problems`` names everything that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("the plans are not usable: " + "; ".join(problems))
