"""Read everything that Stripe has of one customer, in some ten requests.

Refunds and disputes are listed for a payment only, so those of payments are asked for that had any.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from billing.facts import Kind
from billing.families import FAMILIES
from billing.fetching.observations import ApiObservation
from billing.fetching.record import FetchTarget
from billing.json_fields import Raw, amount_in, flag_in
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import OBJECT_LISTS, OF_PAYMENT, StripeList
from ops.stripe_runs.pages import ListPage
from runtime.stripe_api.errors import ApiForbidden

_CUSTOMER: Final = FAMILIES[Kind.CUSTOMER].stripe_name
_CHARGE: Final = FAMILIES[Kind.CHARGE].stripe_name


class CustomerObjects:
    """The objects of customers; ``refused`` says which lists the key may not read."""

    def __init__(self, api: PatientApi) -> None:
        self.refused: list[str] = []
        self.readable: set[str] = {_CUSTOMER}
        self._api = api

    def of(self, customer: str) -> Iterator[ApiObservation]:
        """Yield the objects of a customer, as each list of his shows them.

        Raises:
            ApiFailure: Stripe refuses the key, or does not answer several times.
        """
        yield from self._api.fetch((FetchTarget(family=_CUSTOMER, stripe_id=customer),))
        moved: list[str] = []
        for each in OBJECT_LISTS:
            if each.of_customer is None:
                continue
            for page in self._pages(each.where((each.of_customer, customer))):
                yield from page.observations()
                if each.family == _CHARGE:
                    moved += _charges_that_went_back(page.objects)
        for each in OF_PAYMENT:
            for charge in moved:
                for page in self._pages(each.where(("charge", charge))):
                    yield from page.observations()

    def _pages(self, wanted: StripeList) -> Iterator[ListPage]:
        try:
            for page in self._api.pages(wanted):
                self.readable.add(wanted.family)
                yield page
        except ApiForbidden as refused:
            if not refused.rights:
                raise
            self.refused.append(f"{wanted.name}: {refused}")


def _charges_that_went_back(objects: Iterable[Raw]) -> Iterator[str]:
    for raw in objects:
        if amount_in(raw, "amount_refunded") or flag_in(raw, "disputed"):
            yield str(raw["id"])
