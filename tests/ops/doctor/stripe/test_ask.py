from datetime import UTC, datetime, timedelta

import pytest

from ops.doctor.stripe.ask import StripeReader
from ops.doctor.stripe.rights import NEEDED
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiAway, ApiForbidden
from tests.ops.doctor.stripe.fake_endpoints import FakeEndpoints, endpoint

OWN = ApiAccount(livemode=False)


def events(number: int) -> list[dict[str, object]]:
    return [
        {"id": f"evt_{each}", "type": "invoice.paid", "created": 1_795_000_000 - each}
        for each in range(number)
    ]


def of_second_api(stripe_id: str) -> dict[str, object]:
    return {"id": stripe_id, "status": "enabled", "enabled_events": ["v1.invoice.paid"]}


def test_every_page_of_both_lists_is_read() -> None:
    stripe = FakeEndpoints(
        endpoints=[endpoint(f"we_{n}") for n in range(5)],
        destinations=[of_second_api(f"ed_{n}") for n in range(5)],
        page=2,
    )

    destinations = StripeReader(stripe, OWN).look().destinations

    assert destinations is not None
    assert len(destinations) == 10


def test_undelivered_events_are_counted_up_to_a_bound() -> None:
    few = StripeReader(FakeEndpoints(undelivered=events(250)), OWN).look().undelivered
    many = StripeReader(FakeEndpoints(undelivered=events(600)), OWN).look().undelivered

    assert few is not None
    assert many is not None
    assert (few.number, few.more) == (250, False)
    assert few.oldest == datetime.fromtimestamp(1_795_000_000 - 249, UTC)
    assert (many.number, many.more) == (500, True)
    assert StripeReader(FakeEndpoints(), OWN).look().undelivered is None


def test_what_the_key_may_not_read_is_unknown() -> None:
    stripe = FakeEndpoints(
        forbidden={"/v1/webhook_endpoints": "rak_webhook_read", "/v1/events": "rak_event_read"}
    )

    looked = StripeReader(stripe, OWN).look()

    assert (looked.destinations, looked.undelivered_read) == (None, False)


def test_a_key_without_the_second_api_still_shows_the_endpoints_of_the_first() -> None:
    stripe = FakeEndpoints(
        endpoints=[endpoint()], forbidden={"/v2/core/event_destinations": "rak_x_read"}
    )

    assert len(StripeReader(stripe, OWN).look().destinations or ()) == 1


def test_each_right_is_tried_by_the_smallest_request() -> None:
    stripe = FakeEndpoints(forbidden={"/v1/charges": "rak_charge_read"})

    tried = StripeReader(stripe, OWN).try_rights()

    assert tried.keys() == NEEDED.keys()
    assert [path for path, failure in tried.items() if failure] == ["/v1/charges"]
    assert isinstance(tried["/v1/charges"], ApiForbidden)
    assert all(each.endswith("?limit=1") for each in stripe.asked)


def test_the_time_is_stripe_s() -> None:
    ahead = StripeReader(FakeEndpoints(clock_ahead=timedelta(hours=1)), OWN).now()

    assert ahead - datetime.now(UTC) > timedelta(minutes=50)


def test_any_list_that_the_key_may_read_tells_the_time() -> None:
    *others, last = NEEDED
    stripe = FakeEndpoints(forbidden=dict.fromkeys(others, "rak_x_read"))

    StripeReader(stripe, OWN).now()

    assert stripe.asked[-1] == f"{last}?limit=1"
    with pytest.raises(ApiForbidden):
        StripeReader(FakeEndpoints(forbidden=dict.fromkeys(NEEDED, "rak_x_read")), OWN).now()


def test_a_stripe_that_is_away_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(ApiAway):
        StripeReader(FakeEndpoints(failing=ApiAway("500")), OWN).look()
