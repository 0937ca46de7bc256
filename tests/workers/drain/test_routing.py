"""Which events have to be fetched before anything can be said of them."""

from dataclasses import replace
from typing import Any

import pytest

from billing.envelope import parse
from billing.fetching.record import Fetched
from runtime.ledger.deliveries import Delivery
from runtime.settings import Settings
from tests.billing.event_builders import encoded
from tests.billing.fetching.test_plan_lifecycles import changed, living
from tests.stripe_account import Account
from tests.workers.fakes import NOW
from workers.drain.retry_policy import Defer
from workers.drain.routing import NO_ERRANDS, Errands

PAYLOAD = changed(1, living("active"), 1_795_302_514)
PRODUCT = changed(2, {"id": "prod_1", "object": "product"}, 1_795_302_514)


def delivery(payload: dict[str, Any], *, thin: bool = True, **given: Any) -> Delivery:
    event = Account().thin_event(payload, **given) if thin else payload
    envelope = parse(encoded(event))
    return Delivery(
        envelope=envelope, received_at=NOW, attempts=1, origin="stripe", key=envelope.event_id
    )


def errands(**environ: str) -> Errands:
    return Errands.of(Settings.from_env(environ))


def test_a_thin_event_is_fetched_first_where_there_is_a_key() -> None:
    assert errands(STRIPE_API_KEY="sk_test_x").sort(delivery(PAYLOAD)) == Defer()


@pytest.mark.parametrize(
    "rule", [NO_ERRANDS, errands(), errands(STRIPE_API_KEY="sk_live_x", PAIDUP_LIVEMODE="any")]
)
def test_without_a_key_for_it_a_thin_event_is_recorded_as_it_is(rule: Errands) -> None:
    given = delivery(PAYLOAD)

    assert rule.sort(given) == given


@pytest.mark.parametrize(
    "given", [{"livemode": True}, {"context": "acct_nobody_listed"}], ids=["mode", "account"]
)
def test_what_does_not_count_is_not_fetched(given: dict[str, Any]) -> None:
    rule = errands(STRIPE_API_KEY="sk_org_x", PAIDUP_LIVEMODE="test")
    strange = delivery(PAYLOAD, **given)

    assert rule.sort(strange) == strange


def test_what_was_fetched_is_not_fetched_again() -> None:
    known = replace(delivery(PAYLOAD), fetched=Fetched(wanted=()))

    assert errands(STRIPE_API_KEY="sk_test_x").sort(known) == known


def test_a_snapshot_is_never_in_need_of_it_first() -> None:
    snapshot = delivery(PAYLOAD, thin=False)

    assert errands(STRIPE_API_KEY="sk_test_x").sort(snapshot) == snapshot


def test_where_there_is_nothing_to_ask_for_that_is_noted() -> None:
    product = delivery(PRODUCT)

    assert errands(STRIPE_API_KEY="sk_test_x").sort(product) == replace(
        product, fetched=Fetched(wanted=())
    )
