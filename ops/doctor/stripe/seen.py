"""Hold what Stripe says about its deliveries, for findings to be drawn from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ops.doctor.stripe.destinations import EventDestination, path_of, place_of, same_url
from runtime.settings import Livemode


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedDelivery:
    """The deliveries that the settings ask for."""

    url: str | None
    """The public URL of ingest, None if it is not set."""
    path: str
    livemode: Livemode
    accounts: frozenset[str]
    """Connected accounts whose events count."""
    version: str
    """The newest API version that this release was tested with."""

    def counts(self, destination: EventDestination) -> bool:
        """Return True if the events of a destination are of a mode that counts."""
        return self.livemode == "any" or (self.livemode == "live") == destination.livemode


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeliveredEvents:
    """Events that no endpoint has acknowledged; if ``more``, there are others that are older."""

    types: Mapping[str, int]
    oldest: datetime
    more: bool

    @property
    def number(self) -> int:
        """The number of those that were read."""
        return sum(self.types.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAtStripe:
    """All destinations at Stripe, and the events that it could not deliver.

    A part that the key may not read is None.
    """

    destinations: tuple[EventDestination, ...] | None
    undelivered: UndeliveredEvents | None
    undelivered_read: bool
    now: datetime

    def ours(self, expected: ExpectedDelivery) -> tuple[EventDestination, ...]:
        """Return the destinations that lead to ingest: by its URL, else by the path alone."""
        found = self.destinations or ()
        if expected.url is not None:
            return tuple(each for each in found if same_url(each.url, expected.url))
        path = expected.path.rstrip("/")
        return tuple(each for each in found if each.url and path_of(each.url) == path)

    def is_ambiguous(self, expected: ExpectedDelivery) -> bool:
        """Return True if only the path says which is ours, and several places have it."""
        ours = [each for each in self.ours(expected) if expected.counts(each)]
        return expected.url is None and len({place_of(each.url or "") for each in ours}) > 1
