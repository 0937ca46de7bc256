"""Plan references."""

from collections.abc import Iterable
from dataclasses import dataclass

from billing.facts import CheckoutSessionFields

_PRICE_PREFIXES = ("price_", "plan_")


_PRODUCT_PREFIX = "prod_"


LISTED = 0
"""The trust in line items, which say themselves what was sold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way of naming what was bought; a lower ``trust`` number is believed first."""

    trust: int
    refs: tuple[str, ...] = ()
    plan_code: str | None = None

    @property
    def price(self) -> str | None:
        """The price id among the names, for rows that people read."""
        return next((ref for ref in self.refs if ref.startswith(_PRICE_PREFIXES)), None)

    @property
    def things(self) -> tuple[tuple[str, ...], ...]:
        """The names of each thing that was sold: from its price id to its product id."""
        things: list[tuple[str, ...]] = []
        ended = True
        for ref in self.refs:
            if ended or ref.startswith(_PRICE_PREFIXES):
                things.append((ref,))
            else:
                things[-1] += (ref,)
            ended = ref.startswith(_PRODUCT_PREFIX)
        return tuple(things)


NOTHING_OFFERED = Offer(trust=9)


def offer_of_session(fields: CheckoutSessionFields) -> Offer:
    """Line items where the event has them, else metadata, else the payment link."""
    if fields.line_item_refs:
        return Offer(trust=LISTED, refs=fields.line_item_refs)
    if stated := offer_in_metadata(fields.price_id, fields.plan_code):
        return stated
    return Offer(trust=3, refs=(fields.payment_link,)) if fields.payment_link else NOTHING_OFFERED


def offer_in_metadata(price_id: str | None, plan_code: str | None) -> Offer | None:
    """What an application wrote on its own object: the price, else the plan."""
    if price_id:
        return Offer(trust=1, refs=(price_id,))
    return Offer(trust=2, plan_code=plan_code) if plan_code else None


def most_trusted(offers: Iterable[Offer]) -> Offer:
    """The best way of naming among those of one object, given oldest first; the newest of it."""
    return min(reversed(tuple(offers)), key=lambda offer: offer.trust)
