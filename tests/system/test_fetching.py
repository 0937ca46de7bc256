"""Thin events and everything else that needs Stripe's API, through HTTP, Redis and PostgreSQL."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from ops.samples.expected import Expected
from ops.samples.lifecycles import compose, scenarios_in
from ops.samples.observed import complaints
from ops.samples.shapes import Shape
from runtime.inbox.connect import make_redis
from runtime.inbox.inbox import Inbox
from runtime.servers.account import temporary_folder
from runtime.settings import Settings
from tests.stripe_account import Account, account_of
from tests.stripe_api import KEY, FakeApi, serving
from tests.system.road import Road, road_in
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

NAMES = scenarios_in(Shape.NEW)


@pytest.fixture(scope="module")
def stripe() -> Iterator[FakeApi]:
    with serving() as api:
        yield api


@pytest.fixture(scope="module")
def fetching(stripe: FakeApi) -> Iterator[Road]:
    folder = temporary_folder("paidup-fetching-")
    with road_in(folder, STRIPE_API_KEY=KEY, STRIPE_API_BASE=stripe.url) as road:
        yield road


@pytest.fixture
def road(fetching: Road, stripe: FakeApi) -> Iterator[Road]:
    """The stack of this module, with an API that works and has nothing in it."""
    stripe.works()
    stripe.account, stripe.asked, stripe.most_at_once = Account(), [], 0
    yield fetching
    stripe.works()
    inbox_of(fetching).close_breaker()


def inbox_of(road: Road) -> Inbox:
    environ = {"REDIS_URL": road.stack.redis_url, "STRIPE_WEBHOOK_SECRET": ""}
    return Inbox(make_redis(Settings.from_env(environ)))


def told(name: str, now: int, seed: str) -> tuple[list[dict[str, Any]], Expected]:
    lifecycle = compose(name, shape=Shape.NEW, seed=f"{now}/{seed}", now=now)
    return [event.payload for event in lifecycle.events], lifecycle.expected


def in_force(expected: Expected, road: Road) -> tuple[str, ...]:
    """Complaints but for rows that nobody could make who never saw what was in between."""
    return tuple(
        each
        for each in complaints(expected, road.observe(expected.user_id))
        if not each.startswith("no entitlement row")
    )


def thin(payload: dict[str, Any], account: Account) -> bytes:
    return json.dumps(account.thin_event(payload)).encode()


def ids_in(bodies: list[bytes]) -> set[str]:
    return {json.loads(body)["id"] for body in bodies}


def until_fetched(road: Road) -> None:
    inbox = inbox_of(road)
    until(lambda: inbox.backlog().events == 0, seconds=60, why="nothing waits")
    inbox.client.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_lifecycle_told_by_thin_events_ends_as_its_snapshots_do(
    name: str, road: Road, stripe: FakeApi, now: int
) -> None:
    payloads, expected = told(name, now, "thin")
    stripe.account = account_of(payloads)
    bodies = [thin(payload, stripe.account) for payload in payloads]
    Random(now).shuffle(bodies)  # noqa: S311 - any order will do

    assert {road.post(body).status for body in bodies} == {202}
    road.await_settled(ids_in(bodies), seconds=60)

    assert in_force(expected, road) == ()


@pytest.mark.parametrize("name", NAMES)
def test_twins_do_no_harm_in_any_order(name: str, road: Road, stripe: FakeApi, now: int) -> None:
    payloads, expected = told(name, now, "twins")
    stripe.account = account_of(payloads)
    bodies = [thin(payload, stripe.account) for payload in payloads]
    bodies += [json.dumps(payload).encode() for payload in payloads]
    chance = Random(now)  # noqa: S311 - any order will do

    for body in chance.sample(bodies * 2, 2 * len(bodies)):
        assert road.post(body).status in {200, 202}
    road.await_settled(ids_in(bodies), seconds=60)
    until_fetched(road)

    assert complaints(expected, road.observe(expected.user_id)) == ()
