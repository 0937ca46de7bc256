"""Routing: events that must be fetched before they can be recorded."""

from dataclasses import replace
from typing import Any

import pytest

from billing.envelope import parse
from runtime.ledger.deliveries import Delivery
from runtime.settings import Settings
from tests.billing.event_builders import encoded
from tests.billing.fetching.test_plan_lifecycles import changed, living
from tests.stripe.account import FakeStripeAccount
from tests.workers.fakes import NOW
from workers.batches.retry_policy import Defer
from workers.batches.routing import NO_FETCHING, FetchRouting

PAYLOAD = changed(1, living("active"), 1_795_302_514)
PRODUCT = changed(2, {"id": "prod_1", "object": "product"}, 1_795_302_514)


def delivery(payload: dict[str, Any], *, thin: bool = True, **given: Any) -> Delivery:
    event = FakeStripeAccount().thin_event(payload, **given) if thin else payload
    envelope = parse(encoded(event))
    return Delivery(
        envelope=envelope, received_at=NOW, attempts=1, origin="stripe", key=envelope.event_id
    )


def routing(**environ: str) -> FetchRouting:
    return FetchRouting.of(Settings.from_env(environ))


def test_a_thin_event_is_fetched_first_where_there_is_a_key() -> None:
    assert routing(STRIPE_API_KEY="sk_test_x").route(delivery(PAYLOAD)) == Defer()


@pytest.mark.parametrize(
    "rule", [NO_FETCHING, routing(), routing(STRIPE_API_KEY="sk_live_x", PAIDUP_LIVEMODE="any")]
)
def test_without_a_key_for_it_a_thin_event_is_recorded_as_it_is(rule: FetchRouting) -> None:
    given = delivery(PAYLOAD)

    assert rule.route(given) == given


@pytest.mark.parametrize(
    "given",
    [{"livemode": True}, {"context": "acct_not_listed"}, {"context": "wksp_1"}],
    ids=["mode", "account", "context"],
)
def test_an_event_of_another_mode_or_account_is_not_fetched(given: dict[str, Any]) -> None:
    rule = routing(STRIPE_API_KEY="sk_org_x", PAIDUP_LIVEMODE="test")
    strange = delivery(PAYLOAD, **given)

    assert rule.route(strange) == strange


def test_a_fetched_event_is_not_fetched_again() -> None:
    known = replace(delivery(PAYLOAD), observations=())

    assert routing(STRIPE_API_KEY="sk_test_x").route(known) == known


def test_a_snapshot_event_is_recorded_first() -> None:
    snapshot = delivery(PAYLOAD, thin=False)

    assert routing(STRIPE_API_KEY="sk_test_x").route(snapshot) == snapshot


def test_an_event_with_nothing_to_fetch_gets_no_observation() -> None:
    product = delivery(PRODUCT)

    assert routing(STRIPE_API_KEY="sk_test_x").route(product) == replace(product, observations=())
