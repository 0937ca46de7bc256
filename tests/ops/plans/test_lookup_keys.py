"""Stripe is asked on which prices the lookup keys of the plans stand."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from billing.catalogue import Catalogue, read_catalogue
from ops.plans.lookup_keys import ask_price_keys, print_lookup_keys
from ops.samples.worlds.offers import StripePrice
from runtime.inbox.api_requests import ApiRequests
from runtime.settings import Settings
from tests.stripe.server import KEY, FakeApi, serving

pytestmark = pytest.mark.servers


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with serving() as api:
        yield api


def settings(fake: FakeApi, key: str = KEY, **environ: str) -> Settings:
    environ |= {"STRIPE_API_KEY": key, "STRIPE_API_BASE": fake.url, "STRIPE_WEBHOOK_SECRET": ""}
    return Settings.from_env(environ)


def plans(*prices: str) -> Catalogue:
    return read_catalogue({"plans": {"premium": {"prices": list(prices)}}})


def test_each_price_that_bears_a_key_is_noted(fake: FakeApi) -> None:
    fake.account.prices += [
        StripePrice(price=f"price_{number}", product="prod_1", amount=100, lookup_key=key)
        for number, key in enumerate(("gold", "silver", "elsewhere"), 1)
    ]

    found = ask_price_keys(settings(fake), plans("gold", "silver", "bronze", "price_9"))

    assert found == {"price_1": "gold", "price_2": "silver"}


def test_stripe_is_asked_for_ten_keys_at_a_time(fake: FakeApi) -> None:
    ask_price_keys(settings(fake), plans(*(f"key {n:02} & more" for n in range(12))))

    asked = [parse_qs(urlsplit(each.path).query)["lookup_keys[]"] for each in fake.asked]
    assert [len(keys) for keys in asked] == [10, 2]
    assert asked[1] == ["key 10 & more", "key 11 & more"]


def test_the_requests_count_in_the_budget_of_the_account(fake: FakeApi, redis_url: str) -> None:
    ask_price_keys(settings(fake, REDIS_URL=redis_url), plans("gold"))

    with redis.Redis.from_url(redis_url) as client:
        requests = ApiRequests(client)
        assert requests.results() == {("plans", "answered"): 1}
        assert [each.account for each in requests.usage()] == ["test"]


def test_without_an_api_key_or_a_lookup_key_nothing_is_asked(fake: FakeApi) -> None:
    assert ask_price_keys(settings(fake, key=""), plans("gold")) == {}
    assert ask_price_keys(settings(fake), plans("price_1", "prod_1")) == {}
    assert fake.asked == []


def test_a_failure_is_a_warning(fake: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    fake.fails(500)

    assert ask_price_keys(settings(fake), plans("gold")) == {}
    said = capsys.readouterr().err
    assert said.startswith("Stripe did not say which prices bear the lookup keys: 500")
    assert "stay known" in said


def test_it_is_said_whether_stripe_can_be_asked(
    fake: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    print_lookup_keys(settings(fake), ["gold"])
    print_lookup_keys(settings(fake, key=""), ["gold"])
    print_lookup_keys(settings(fake, key=""), [])

    with_key, without = capsys.readouterr().out.splitlines()
    assert with_key.endswith("`plans apply` asks Stripe on which prices they stand")
    assert without.startswith("lookup keys: gold; set STRIPE_API_KEY")
