"""An event of the last minute is found that names an object, in whatever way and on any page."""

from datetime import timedelta
from typing import Any, Final

import pytest

from ops.reconcile.recent_events import MOST_PAGES, changed_within
from ops.stripe_runs.asking import PatientApi
from runtime.stripe_api.errors import ApiFailure, ApiForbidden
from runtime.time_limits import STRIPE_SETTLE_SECONDS
from tests.ops.stripe_runs.test_asking import TurnsApi
from tests.ops.stripe_runs.walk_builders import NOW, OWN

MINUTE: Final = timedelta(minutes=1)
Raw = dict[str, Any]


def event(stated: Raw, seconds_ago: int = 0, *, name: str = "evt_1") -> Raw:
    return {
        "id": name,
        "object": "event",
        "created": NOW - seconds_ago,
        "type": "customer.updated",
        "data": {"object": stated},
    }


def page(*events: Raw, more: bool = False) -> tuple[int, object]:
    return NOW, {"object": "list", "data": list(events), "has_more": more}


class AskedApi:
    """A client that answers in turn, and what it was asked."""

    def __init__(self, *turns: ApiFailure | tuple[int, object]) -> None:
        self.turns = TurnsApi(list(turns))
        self.pauses: list[float] = []
        self.api = PatientApi(self.turns, OWN, self.pauses.append)  # type: ignore[arg-type]

    def has_changed(self, *ids: str) -> bool:
        return changed_within(self.api, ids, MINUTE, self.pauses.append)


@pytest.mark.parametrize(
    "name", ["sub_1", "cn_1", "customer-17", "inpay_1", "in_1", "Ein Kunde", "pr_1", "feat_1"]
)
def test_an_object_is_found_by_whatever_id_it_has(name: str) -> None:
    for stated in ({"id": name}, {"id": "in_9", "lines": {"data": [{"of": [name]}]}}):
        assert AskedApi(page(event(stated))).has_changed("sub_8", name)

    assert not AskedApi(page(event({"id": f"{name}0"}))).has_changed(name)


def test_an_object_is_found_behind_many_others() -> None:
    lines = [{"id": f"il_{n}", "subscription_item": f"si_{n}"} for n in range(1000)]

    assert AskedApi(page(event({"id": "in_1", "lines": lines, "last": "sub_1"}))).has_changed(
        "sub_1"
    )


@pytest.mark.parametrize(("ago", "changed"), [(0, True), (60, True), (61, False), (-5, True)])
def test_an_event_counts_that_is_at_most_a_minute_old_by_stripes_clock(
    ago: int, *, changed: bool
) -> None:
    assert AskedApi(page(event({"id": "sub_1"}, ago))).has_changed("sub_1") is changed


def test_pages_are_read_until_one_reaches_beyond_the_minute() -> None:
    first = page(event({}, name="evt_3"), event({}, name="evt_2"), more=True)
    asked = AskedApi(first, page(event({}, 30), event({}, 61), more=True), first)

    assert not asked.has_changed("sub_1")
    assert asked.turns.asked == [
        "/v1/events?limit=100",
        "/v1/events?limit=100&starting_after=evt_2",
    ]
    assert AskedApi(first, page(event({"id": "sub_1"}))).has_changed("sub_1")
    assert not AskedApi(first, page(event({}))).has_changed("sub_1")


def test_an_account_without_events_has_changed_nothing() -> None:
    assert not AskedApi(page()).has_changed("sub_1")


def test_too_many_events_may_be_about_anything() -> None:
    asked = AskedApi(page(event({}), more=True))

    assert asked.has_changed("sub_1")
    assert len(asked.turns.asked) == MOST_PAGES == asked.api.sent
    assert asked.pauses[1:] == [0] * MOST_PAGES, "the lease of the run is renewed meanwhile"


def test_stripe_has_time_to_list_the_event_of_what_it_has_just_shown() -> None:
    asked = AskedApi(page())

    asked.has_changed("sub_1")

    assert asked.pauses[0] == STRIPE_SETTLE_SECONDS


def test_without_the_right_to_read_events_anything_may_have_changed() -> None:
    refused = ApiForbidden("Having the 'rak_event_read' permission would allow this")

    assert AskedApi(refused).has_changed("sub_1")
