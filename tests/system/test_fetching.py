"""Thin events and other fetches from Stripe's API, through HTTP, Redis and PostgreSQL."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from ops.demo.observation import differences
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.expected import Expected
from ops.samples.lifecycles.registry import compose, scenarios_in
from ops.samples.sample_plans import LIFETIME, MONTHLY
from ops.samples.scenario import DAY
from ops.samples.worlds.records import (
    Customer,
    FeatureList,
    Session,
    Subscription,
    SubscriptionItem,
)
from ops.up.servers.account import temporary_folder
from ops.up.servers.process_table import children_of, command_of
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings
from tests.billing.event_builders import document, printed
from tests.killing import kill
from tests.stripe.account import FakeStripeAccount, account_of
from tests.stripe.server import KEY, FakeApi, serving
from tests.stripe.state import moment
from tests.system.stack_env import StackUnderTest, running_system
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

NAMES = scenarios_in(Shape.NEW)
CREATED = int(time.time()) - DAY


@pytest.fixture(scope="module")
def stripe() -> Iterator[FakeApi]:
    with serving() as api:
        yield api


def key_at(stripe: FakeApi) -> dict[str, str]:
    """Return the settings of a key that only events use."""
    return {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": stripe.url, "PAIDUP_RECONCILE": "0"}


@pytest.fixture(scope="module")
def fetching(stripe: FakeApi) -> Iterator[StackUnderTest]:
    folder = temporary_folder("paidup-fetching-")
    try:
        with running_system(folder, **key_at(stripe)) as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def system(fetching: StackUnderTest, stripe: FakeApi) -> Iterator[StackUnderTest]:
    """Yield the stack of this module, with an API that works and is empty."""
    stripe.works()
    stripe.account, stripe.asked, stripe.max_at_once = FakeStripeAccount(), [], 0
    yield fetching
    stripe.works()
    settle_parked_events(fetching)


def inbox_of(system: StackUnderTest) -> Inbox:
    environ = {"REDIS_URL": system.stack.redis_url, "STRIPE_WEBHOOK_SECRET": ""}
    # A busy disk may hold Redis up for a second: a look waits for it.
    return Inbox(make_redis(Settings.from_env(environ), timeout=10.0))


def compose_payloads(name: str, now: int, seed: str) -> tuple[list[dict[str, Any]], Expected]:
    lifecycle = compose(name, shape=Shape.NEW, seed=f"{now}/{seed}", now=now)
    return [event.payload for event in lifecycle.events], lifecycle.expected


def in_force(expected: Expected, system: StackUnderTest) -> tuple[str, ...]:
    """Return the differences, without rows that only the skipped states would have made."""
    return tuple(
        each
        for each in differences(expected, system.observe(expected.user_id))
        if not each.startswith("no entitlement row")
    )


def thin(payload: dict[str, Any], account: FakeStripeAccount) -> bytes:
    return json.dumps(account.thin_event(payload)).encode()


def ids_in(bodies: list[bytes]) -> set[str]:
    return {json.loads(body)["id"] for body in bodies}


def until_fetched(system: StackUnderTest) -> None:
    inbox = inbox_of(system)
    until(lambda: inbox.backlog().events == 0, seconds=60, why="nothing waits")
    inbox.client.close()


def settle_parked_events(system: StackUnderTest) -> None:
    """Settle parked events, which would otherwise be fetched during another test."""
    client: Any = inbox_of(system).client
    client.delete("paidup:breaker:fetch", "paidup:fetch:health")
    for key in (b"paidup:ready:fetch", *client.scan_iter("paidup:queue:fetch|*")):
        for member in client.zrange(key, 0, -1):
            client.zadd(key, {member: 0}, xx=True)
    client.close()
    until_fetched(system)


@pytest.mark.parametrize("name", NAMES)
def test_a_lifecycle_of_thin_events_ends_as_its_snapshots_do(
    name: str, system: StackUnderTest, stripe: FakeApi, now: int
) -> None:
    payloads, expected = compose_payloads(name, now, "thin")
    stripe.account = account_of(payloads)
    bodies = [thin(payload, stripe.account) for payload in payloads]
    Random(now).shuffle(bodies)  # noqa: S311 - any order will do

    # Ingest may have answered 503 to an event that it took in: the next attempt is a duplicate.
    assert {system.client.deliver(body).status for body in bodies} <= {200, 202}
    system.await_settled(ids_in(bodies), seconds=60)

    assert in_force(expected, system) == ()


@pytest.mark.parametrize("name", NAMES)
def test_twins_do_no_harm_in_any_order(
    name: str, system: StackUnderTest, stripe: FakeApi, now: int
) -> None:
    payloads, expected = compose_payloads(name, now, "twins")
    stripe.account = account_of(payloads)
    bodies = [thin(payload, stripe.account) for payload in payloads]
    bodies += [json.dumps(payload).encode() for payload in payloads]
    chance = Random(now)  # noqa: S311 - any order will do

    for body in chance.sample(bodies * 2, 2 * len(bodies)):
        assert system.post(body).taken
    system.await_settled(ids_in(bodies), seconds=60)
    until_fetched(system)

    assert differences(expected, system.observe(expected.user_id)) == ()


def subscription(status: str, user: str = "usr_1", **given: Any) -> dict[str, Any]:
    held = Subscription(
        id=f"sub_of_{user}",
        customer=f"cus_of_{user}",
        created=CREATED,
        status=status,
        metadata={"user_id": user},
        items=(
            SubscriptionItem(
                id="si_1",
                offer=MONTHLY,
                quantity=1,
                start=CREATED,
                end=CREATED + 30 * DAY,
            ),
        ),
    )
    return printed(held, **given)


def snapshot(
    number: str, stated: dict[str, Any], at: int, kind: str = "customer.subscription.updated"
) -> dict[str, Any]:
    return document(kind, stated, id=f"evt_{number}", created=at)


def post(system: StackUnderTest, *payloads: dict[str, Any]) -> list[str]:
    for payload in payloads:
        assert system.post(json.dumps(payload).encode()).taken
    return [payload["id"] for payload in payloads]


def active(system: StackUnderTest, user: str) -> dict[str, Any]:
    return {
        row["source"]: row["entitlements"] for row in system.observe(user).grants if row["active"]
    }


def event_row(system: StackUnderTest, event_id: str) -> Any:
    query = text(
        "SELECT outcome, reason, pending_fetches,"
        " (SELECT bool_or(gone) FROM api_observations AS seen"
        "  WHERE seen.id = ANY (stripe_events.observations)) AS gone"
        " FROM stripe_events WHERE id = :id"
    )
    with system.engine.connect() as connection:
        return connection.execute(query, {"id": event_id}).one_or_none()


class TestASnapshotEvent:
    def test_of_unknown_order_is_applied_at_once_and_corrected_later(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        user = f"usr_guess{now}"
        unpaid, paid = subscription("unpaid", user), subscription("active", user)
        stripe.account.put(paid)
        stripe.hangs()

        post(system, snapshot(f"g1{now}", paid, now - 9), snapshot(f"g2{now}", unpaid, now - 9))
        system.await_settled([f"evt_g1{now}", f"evt_g2{now}"])
        assert active(system, user) == {}  # in doubt, the snapshot that grants less
        stripe.works()
        until_fetched(system)

        assert active(system, user)
        assert event_row(system, f"evt_g2{now}").pending_fetches is None
        assert system.observe(user).grants[0]["event_id"].startswith(f"obs_sub_of_{user}_")

    def test_of_a_cut_list_grants_what_it_lists_and_then_all(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        user, keys = f"usr_cut{now}", [f"feature_{number}" for number in range(230)]
        stripe.account.features["cus_cut"] = [(moment(0), keys)]
        customer = printed(Customer(id="cus_cut", created=now - 9, metadata={"user_id": user}))
        cut = printed(FeatureList(customer="cus_cut", keys=tuple(keys)))
        stripe.hangs()

        post(system, snapshot(f"c1{now}", customer, now - 9, "customer.created"))
        post(system, snapshot(f"c2{now}", cut, now - 9, f"{cut['object']}.updated"))
        system.await_settled([f"evt_c1{now}", f"evt_c2{now}"])
        assert active(system, user) == {"cus_cut": dict.fromkeys(keys[:10], True)}
        stripe.works()
        until_fetched(system)

        assert active(system, user) == {"cus_cut": dict.fromkeys(keys, True)}
        assert len(stripe.paths()) >= 3

    def test_of_a_checkout_without_a_plan_finds_it_by_line_items(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        user, session_id = f"usr_lines{now}", f"cs_{now}"
        session = Session(
            id=session_id,
            created=now - 9,
            mode="payment",
            status="complete",
            payment_status="paid",
            amount=9900,
            reference=user,
            intent=f"pi_{now}",
        )
        stripe.account.put(session)
        stripe.account.sell(session_id, LIFETIME)

        completed = "checkout.session.completed"
        post(system, snapshot(f"l{now}", printed(session), now - 9, completed))
        system.await_settled([f"evt_l{now}"])
        until_fetched(system)

        assert active(system, user) == {f"pi_{now}": {"lifetime": True}}


class TestAnApi:
    def test_that_hangs_delays_no_live_event(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        waiting = [snapshot(f"h{n}{now}", subscription("active", f"u{n}"), now) for n in range(8)]
        stripe.account = account_of(waiting)
        thins = [stripe.account.thin_event(payload) for payload in waiting]
        stripe.hangs()
        post(system, *thins)
        until(lambda: stripe.at_once > 0, why="a request hangs")

        slowest = 0.0
        for number in range(20):
            started = time.monotonic()
            ids = post(
                system,
                snapshot(f"live{number}{now}", subscription("active", f"usr_l{number}{now}"), now),
            )
            system.await_settled(ids, seconds=5)
            slowest = max(slowest, time.monotonic() - started)

        assert slowest < 2.0
        assert stripe.max_at_once <= 2
        assert not system.settled(ids_of(thins))
        stripe.works()
        system.await_settled(ids_of(thins), seconds=60)

    def test_that_fails_opens_the_breaker_and_closes_it_when_it_answers(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        waiting = [snapshot(f"b{n}{now}", subscription("active", f"b{n}"), now) for n in range(6)]
        stripe.account = account_of(waiting)
        thins = [stripe.account.thin_event(payload) for payload in waiting]
        stripe.fails(500)
        inbox = inbox_of(system)

        post(system, *thins)
        until(lambda: inbox.backlog().fetch_breaker is not None, why="the breaker is open")
        asked = len(stripe.asked)
        post(system, snapshot(f"blive{now}", subscription("active", f"usr_b{now}"), now))
        system.await_settled([f"evt_blive{now}"], seconds=5)
        assert not inbox.breaker_open()
        assert len(stripe.asked) <= asked + 2

        stripe.works()
        system.await_settled(ids_of(thins), seconds=60)
        assert inbox.backlog().fetch_breaker is None
        assert not dead_letters(system, thins)

    def test_that_limits_requests_is_not_asked_for_as_long_as_it_says(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        payload = snapshot(f"r{now}", subscription("active", "usr_r"), now)
        stripe.account = account_of([payload])
        thin_one = stripe.account.thin_event(payload)
        stripe.fails(429, "3")
        inbox = inbox_of(system)

        post(system, thin_one)
        until(lambda: inbox.backlog().fetch_breaker is not None, why="the breaker is open")
        stripe.works()
        limited_at, asked = time.monotonic(), len(stripe.asked)
        system.await_settled([thin_one["id"]], seconds=30)

        assert time.monotonic() - limited_at > 2.0
        assert len(stripe.asked) == asked + 1

    def test_that_refuses_the_key_pauses_fetching_and_keeps_all_attempts(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        payload = snapshot(f"k{now}", subscription("active", "usr_k"), now)
        stripe.account = account_of([payload])
        thin_one = stripe.account.thin_event(payload)
        stripe.fails(401, message="Invalid API Key provided: sk_test_****")
        inbox = inbox_of(system)

        post(system, thin_one)
        until(lambda: inbox.backlog().fetch_breaker is not None, why="the breaker is open")

        breaker = inbox.backlog().fetch_breaker
        assert breaker is not None
        assert "refuses STRIPE_API_KEY" in breaker.reason
        (peeked,) = inbox.peek([thin_one["id"]])
        assert peeked.history.get("attempts") == 0

    def test_that_has_no_such_object_settles_the_event(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        payload = snapshot(f"n{now}", subscription("active", "usr_n"), now)
        thin_one = stripe.account.thin_event(payload)

        post(system, thin_one)
        system.await_settled([thin_one["id"]])

        row = event_row(system, thin_one["id"])
        assert (row.outcome, row.reason) == ("ignored", "object_gone")
        assert row.gone

    def test_is_not_asked_about_an_irrelevant_event(
        self, system: StackUnderTest, stripe: FakeApi, now: int
    ) -> None:
        product = {"id": "prod_1", "object": "product"}
        payload = snapshot(f"p{now}", product, now, "product.updated")
        thin_one = stripe.account.thin_event(payload)

        post(system, thin_one)
        system.await_settled([thin_one["id"]])

        assert event_row(system, thin_one["id"]).reason == "unknown_type"
        assert stripe.paths() == []


def ids_of(payloads: list[dict[str, Any]]) -> list[str]:
    return [payload["id"] for payload in payloads]


def dead_letters(system: StackUnderTest, payloads: list[dict[str, Any]]) -> list[Any]:
    query = text("SELECT event_id FROM dead_letters WHERE event_id = ANY(:ids)")
    with system.engine.connect() as connection:
        return list(connection.scalars(query, {"ids": ids_of(payloads)}))


def fetchers_of(system: StackUnderTest) -> list[int]:
    """Return the processes that ask Stripe's API."""
    worker = system.stack.worker
    assert worker is not None
    mains = [pid for pid in children_of(worker.pid) if "fetch.pool" in command_of(pid)]
    return [child for main in mains for child in children_of(main)]


def test_a_worker_killed_while_it_waits_for_stripe_loses_nothing(
    system: StackUnderTest, stripe: FakeApi, now: int
) -> None:
    payload = snapshot(f"x{now}", subscription("active", f"usr_x{now}"), now)
    stripe.account = account_of([payload])
    thin_one = stripe.account.thin_event(payload)
    stripe.hangs()
    post(system, thin_one)
    until(lambda: stripe.at_once > 0, why="a request hangs")

    for pid in fetchers_of(system):
        kill(pid)
    stripe.works()
    system.await_settled([thin_one["id"]], seconds=60)

    assert active(system, f"usr_x{now}")
    assert not dead_letters(system, [thin_one])


def test_a_worker_killed_between_answer_and_commit_loses_nothing(
    system: StackUnderTest, stripe: FakeApi, now: int
) -> None:
    payload = snapshot(f"y{now}", subscription("active", f"usr_y{now}"), now)
    stripe.account = account_of([payload])
    thin_one = stripe.account.thin_event(payload)
    with system.engine.begin() as connection:
        connection.execute(text("LOCK TABLE facts IN ACCESS EXCLUSIVE MODE"))
        post(system, thin_one)
        until(lambda: len(stripe.asked) == 1 and stripe.at_once == 0, why="it was answered")

        for pid in fetchers_of(system):
            kill(pid)
    system.await_settled([thin_one["id"]], seconds=60)

    assert active(system, f"usr_y{now}")
    assert not dead_letters(system, [thin_one])


def test_without_a_key_thin_events_wait_for_a_replay(
    own_system_without_key: StackUnderTest, stripe: FakeApi, now: int
) -> None:
    system = own_system_without_key
    payload = snapshot(f"z{now}", subscription("active", "usr_z"), now)
    stripe.works()
    stripe.account = account_of([payload])
    thin_one = stripe.account.thin_event(payload)
    post(system, thin_one)
    system.await_settled([thin_one["id"]])
    assert event_row(system, thin_one["id"]).reason == "needs_api_key"
    steps = system.counters()
    assert steps["billing_events_without_api_key_total"] == 1
    status = json.loads(paidup(system, "status", "--json").stdout)
    assert status["unfetched"] == 1
    assert "not fetched" in paidup(system, "status").stdout
    assert "paidup replay --unfetched" in paidup(system, "doctor").stdout

    with another_worker(system, **key_at(stripe)):
        done = paidup(system, "replay", "--unfetched", "--reason", "a key is there", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["counts"]) == (0, {"applied": 1}), done.stdout
    assert active(system, "usr_z")
    assert json.loads(paidup(system, "status", "--json").stdout)["unfetched"] == 0


@pytest.fixture
def own_system_without_key() -> Iterator[StackUnderTest]:
    folder = temporary_folder("paidup-keyless-")
    try:
        with running_system(folder) as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environ_of(system: StackUnderTest, **environ: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PAIDUP_", "STRIPE_"))}
    servers = {"DATABASE_URL": system.stack.database_url, "REDIS_URL": system.stack.redis_url}
    own = {
        "PAIDUP_DATA_DIR": str(system.stack.data_dir),
        "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
    }
    return {**kept, **servers, **own, "STRIPE_WEBHOOK_SECRET": system.secret, **environ}


def paidup(system: StackUnderTest, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        env=environ_of(system),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def another_worker(system: StackUnderTest, **environ: str) -> Iterator[None]:
    """Run a worker instead of the stack's own."""
    assert system.stack.worker is not None
    system.stack.worker.stop()
    worker = subprocess.Popen(
        [sys.executable, "-m", "workers"],
        env=environ_of(system, **environ),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(60)
