"""The counts of requests to Stripe's API, of all accounts together."""

import pytest

from runtime.inbox.api_requests import ApiRequests
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.budget import RequestBudget
from runtime.stripe_api.errors import ApiLimited
from tests.runtime.inbox.entry_builders import Client

pytestmark = pytest.mark.servers

OWN = ApiAccount(livemode=True)
CONNECTED = ApiAccount(livemode=True, account="acct_1")
TEST = ApiAccount(livemode=False)


def test_an_empty_redis_has_numbers_of_both_modes(client: Client) -> None:
    numbers = ApiRequests(client).numbers()

    assert (numbers.requests, numbers.reads) == ({}, {"live": 0, "test": 0})
    assert not numbers.paused


def test_the_reads_of_connected_accounts_count_with_the_platforms(client: Client) -> None:
    budget = RequestBudget(client, Settings.from_env({}), caller="fetch")
    for account in (OWN, CONNECTED, TEST):
        budget.take(account, "/v1/events")

    assert ApiRequests(client).numbers().reads == {"live": 2, "test": 1}


def test_a_pause_of_one_account_is_a_pause(client: Client) -> None:
    budget = RequestBudget(client, Settings.from_env({}), caller="fetch")
    budget.take(CONNECTED, "/v1/events")
    budget.note(CONNECTED, ApiLimited(30.0, "global-rate"))

    assert ApiRequests(client).numbers().paused


def test_a_pause_that_is_over_is_none(client: Client) -> None:
    client.hset("paidup:stripe:budget:live", "paused_until", "1")

    assert ApiRequests(client).pause("live") is None
