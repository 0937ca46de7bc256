"""The runs under way and the reads of Stripe's API, in ``status``."""

import json
from collections.abc import Callable

import pytest
import redis

from billing.ids import Realm
from ops.stripe_runs.runs import RunRequest, begin
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.budget import RequestBudget
from runtime.stripe_api.errors import ApiLimited
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

OWN = ApiAccount(livemode=True)


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None], redis_url: str) -> SeededDatabase:
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    return books


def test_a_run_is_shown_with_what_it_has_read(books: SeededDatabase, paidup: Paidup) -> None:
    wanted = RunRequest(
        kind="backfill", realm=Realm("live"), actor="cli:ada", reason=None, said={}, rate=20.0
    )
    run = begin(books.engine, wanted)

    said = " ".join(paidup("status").split())
    (shown,) = json.loads(paidup("status", "--json"))["stripe_runs"]

    assert f"run {run.id}, backfill of live by cli:ada since" in said
    assert "0 objects in 0 requests, at most 20/s" in said
    assert (shown["id"], shown["works"], shown["objects"]) == (run.id, True, 0)


def test_a_run_that_nobody_works_on_says_how_it_goes_on(
    books: SeededDatabase, paidup: Paidup
) -> None:
    wanted = RunRequest(
        kind="backfill", realm=Realm("live"), actor="cli:ada", reason=None, said={}, rate=20.0
    )
    begin(books.engine, wanted).release(books.engine)

    assert "start the same command again, or `paidup runs cancel" in " ".join(
        paidup("status").split()
    )


@pytest.mark.usefixtures("books")
def test_reads_are_shown_beside_what_stripe_allows(paidup: Paidup, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        budget = RequestBudget(client, Settings.from_env({}), caller="fetch")
        budget.take(OWN, "/v1/events")
        budget.note(OWN, ApiLimited(90.0, "global-rate"))

    said = " ".join(paidup("status").split())
    (shown,) = json.loads(paidup("status", "--json"))["stripe_reads"]

    assert "live: 1 read in 30 days, 1 today; Stripe allows 10000 or more" in said
    assert "paused by a 429 (global-rate) for" in said
    assert (shown["account"], shown["in_30_days"], shown["allowed_at_least"]) == ("live", 1, 10_000)
    assert shown["pause"]["limit"] == "global-rate"
