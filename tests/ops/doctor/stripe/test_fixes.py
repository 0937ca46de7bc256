from typing import Any

import pytest

from billing.readers.registry import REQUIRED_TYPES
from ops.doctor.stripe.check_endpoint import check_endpoints
from ops.doctor.stripe.destinations import EventDestination, read_endpoint
from ops.doctor.stripe.fixes import EndpointChange, plan_fixes
from ops.doctor.stripe.seen import SeenAtStripe
from runtime.stripe_api.accounts import ApiAccount
from tests.ops.doctor.stripe.fake_endpoints import (
    ALL_TYPES,
    NOW,
    URL,
    FakeEndpoints,
    destination,
    endpoint,
    expected,
    seen,
)

OWN = ApiAccount(livemode=False)


def planned(*destinations: EventDestination, **given: Any) -> tuple[EndpointChange, ...]:
    return plan_fixes(seen(*destinations), expected(**given))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [endpoint(status="disabled")],
        [endpoint(status="disabled", enabled_events=["payout.paid"])],
        [endpoint(enabled_events=["*"])],
        [endpoint(enabled_events=["customer.created", "payout.paid", "invoice.created"])],
        [endpoint("we_off", status="disabled"), endpoint(enabled_events=["invoice.paid"])],
    ],
)
def test_after_the_changes_nothing_is_left_to_change(wrong: list[dict[str, Any]]) -> None:
    stripe = FakeEndpoints(endpoints=wrong)

    def shown() -> SeenAtStripe:
        return seen(*map(read_endpoint, stripe.endpoints))

    changes = plan_fixes(shown(), expected())
    assert changes
    for each in changes:
        stripe.send(each.path, each.form, OWN)

    assert plan_fixes(shown(), expected()) == ()
    assert all(each.state == "ok" for each in check_endpoints(shown(), expected()))


def test_a_change_names_what_is_added_and_what_is_removed() -> None:
    types = (ALL_TYPES - {"invoice.paid"}) | {"payout.paid", "invoice.created"}

    (change,) = planned(destination(types=types))

    assert change.says == (
        "change the event types of we_1: add invoice.paid; remove invoice.created, payout.paid"
    )
    assert change.form == {"enabled_events": sorted(REQUIRED_TYPES)}


def test_types_that_are_read_though_not_needed_stay() -> None:
    assert planned(destination(types=ALL_TYPES | {"invoice.payment_succeeded"})) == ()


def test_a_new_endpoint_on_another_path_than_ingest_listens_on_is_pointed_out() -> None:
    (change,) = planned(url="https://hooks.example.com/stripe")
    (usual,) = planned(url=f"{URL}/")

    assert change.says.endswith(
        "ingest listens on /webhooks/stripe: something in front has to change the path"
    )
    assert "ingest listens" not in usual.says


def test_a_new_endpoint_is_made_only_for_a_url_that_somebody_named() -> None:
    (change,) = planned()

    assert (change.creates, change.form["url"]) == (True, URL)
    assert change.form["api_version"] == "2026-10-28.endive"
    assert planned(url=None) == ()


def test_what_the_key_cannot_change_is_left_alone() -> None:
    blind = SeenAtStripe(destinations=None, undelivered=None, undelivered_read=True, now=NOW)

    assert plan_fixes(blind, expected()) == ()
    assert planned(destination(editable=False, types=frozenset())) == ()
    (other_mode,) = planned(destination(livemode=True))
    assert other_mode.creates


def test_an_endpoint_that_may_be_another_deployment_s_is_left_alone() -> None:
    wrong = destination(types=frozenset({"*"}))
    staging = destination("we_2", url="https://staging.example.com/webhooks/stripe")

    assert planned(wrong, staging, url=None) == ()
    assert [each.endpoint for each in planned(wrong, staging)] == ["we_1"]
