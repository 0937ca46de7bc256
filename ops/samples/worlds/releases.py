"""The API versions in which a world may state its events, and the event types that each knows."""

from enum import StrEnum

from ops.samples.api_shapes import Shape


class ApiRelease(StrEnum):
    """One API version of Stripe."""

    V2014 = "2014-11-20"
    V2022 = "2022-11-15"
    V2024 = "2024-06-20"
    BASIL = "2025-03-31.basil"
    CLOVER = "2025-10-29.clover"
    ENDIVE = "2026-10-28.endive"

    @property
    def shape(self) -> Shape:
        """The paths that its objects follow."""
        if self is ApiRelease.V2014:
            return Shape.ANCIENT
        return Shape.OLD if self in (ApiRelease.V2022, ApiRelease.V2024) else Shape.NEW

    def knows(self, event_type: str) -> bool:
        """Return whether Stripe sends this type to an endpoint of this version."""
        if self is ApiRelease.V2014:
            return not event_type.startswith(_AFTER_2014)
        return self.shape is Shape.NEW or not event_type.startswith(_AFTER_2024)


_AFTER_2024 = ("refund.", "invoice_payment.")
_AFTER_2014 = (
    *_AFTER_2024,
    "payment_intent.",
    "checkout.",
    "credit_note.",
    "entitlements.",
    "charge.refund.",
    "invoice.finalized",
    "invoice.paid",
    "invoice.marked_uncollectible",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "setup_intent.",
)
