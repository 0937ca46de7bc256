"""One page of a list: what Stripe answered, read and checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.envelope import usable_id
from billing.fetching.observations import ApiObservation
from billing.fetching.record import ApiResponse
from billing.json_fields import Raw, integer_in
from ops.stripe_runs.lists import StripeList
from runtime.json_text import write_json
from runtime.stripe_api.errors import ApiAway


class UnreadablePage(ApiAway):
    """An answer that is no page of a list; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """The objects of one page that belong to its range, newest first."""

    list: StripeList
    position: int
    """The number of the range within its list."""
    response: ApiResponse
    objects: tuple[Raw, ...] = field(repr=False)
    has_more: bool

    def observations(self) -> tuple[ApiObservation, ...]:
        """Return each object as an observation of the second before the request."""
        return tuple(
            ApiObservation(
                family=self.list.family,
                object_id=str(raw["id"]),
                asked_at=self.response.at,
                api_version=self.response.api_version,
                gone=False,
                payload=write_json(raw),
            )
            for raw in self.objects
        )


def read_page(wanted: StripeList, position: int, response: ApiResponse) -> ListPage:
    """Return the page that Stripe answered.

    Raises:
        UnreadablePage: it is no list, or one of its objects has no id or no time.
    """
    body = response.body
    data, more = body.get("data"), body.get("has_more")
    if not isinstance(data, list) or not isinstance(more, bool):
        raise UnreadablePage(f"{wanted.path} answers no list")
    if more and not data:
        raise UnreadablePage(f"{wanted.path} answers an empty page that has more")
    if not all(isinstance(each, dict) and usable_id(each.get("id")) for each in data):
        raise UnreadablePage(f"{wanted.path} lists an object without an id")
    if wanted.has_created and any(integer_in(each, "created") is None for each in data):
        raise UnreadablePage(f"{wanted.path} lists an object without the time of its creation")
    return ListPage(
        list=wanted, position=position, response=response, objects=tuple(data), has_more=more
    )


def created_in(objects: Sequence[Raw]) -> list[int]:
    """Return the seconds of Unix time in which the objects of a page were created."""
    return [integer_in(raw, "created") or 0 for raw in objects]
