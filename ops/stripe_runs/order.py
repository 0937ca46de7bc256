"""The order in which objects of one customer are recorded, if not all of them are at once."""

from typing import Final

from billing.facts import Kind
from billing.families import FAMILIES
from billing.fetching.observations import Name

FAMILIES_IN_ORDER: Final = tuple(
    FAMILIES[kind].stripe_name
    for kind in (Kind.CUSTOMER, Kind.SUBSCRIPTION, Kind.REFUND, Kind.CHARGE, Kind.PAYMENT_INTENT)
)
"""What dates money comes before what only sums it up: a charge tells that money went back, and not
when; an intent that it came. All other families come later, in any order.
"""


def place_of(name: Name) -> tuple[int, str]:
    """Return the place of an object among those of its customer."""
    family, stripe_id = name
    known = family in FAMILIES_IN_ORDER
    return (FAMILIES_IN_ORDER.index(family) if known else len(FAMILIES_IN_ORDER), stripe_id)
