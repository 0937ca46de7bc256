"""Deliveries from Stripe, from two endpoints and from strangers, once and repeated."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from billing.envelope import parse
from ops.demo.observation import differences, observe
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from tests.faults.fault_env import FaultSite, count, ingesting, replay, workers
from tests.faults.purchases import event_id, purchase
from tests.workers.waiting import until

pytestmark = pytest.mark.servers


def test_t20_one_event_fifty_times_at_once_and_again_with_and_without_its_done_marker(
    site: FaultSite,
) -> None:
    with workers(site) as worker, ingesting(site) as ingest:
        worker.until_ready()
        with ThreadPoolExecutor(25) as threads:
            burst = Counter(
                answer.status for answer in threads.map(lambda _: ingest.deliver("one"), range(50))
            )
        site.until_drained()
        after = ingest.deliver("one")
        site.inbox.drop_done_markers()
        forgotten = ingest.deliver("one")
        site.check_result()

    assert burst == {202: 1, 200: 49}
    assert (after.status, forgotten.status) == (200, 202)


def test_two_endpoints_send_one_event_in_two_api_shapes_at_once(site: FaultSite) -> None:
    with workers(site), ingesting(site) as ingest:
        both = [purchase("two"), purchase("two", api_version="2014-11-20", pending_webhooks=2)]
        barrier = threading.Barrier(2)

        def send(body: bytes) -> int:
            barrier.wait()
            return ingest.post(body).status

        with ThreadPoolExecutor(2) as threads:
            statuses = sorted(threads.map(send, both))
        site.answers.acknowledged.add(event_id("two"))
        site.until_drained()
        later = [ingest.post(body).status for body in both]
        site.check_result()

    assert (statuses, later) == ([200, 202], [200, 200])
    assert site.inbox.conflicts() == []


NUL_AND_SURROGATES = "a\\u0000b\\ud800c\\udfffd"


def test_a_body_with_nul_and_lone_surrogates_is_applied_or_a_dead_letter(site: FaultSite) -> None:
    strange = json.loads(f'"usr_{NUL_AND_SURROGATES}"')
    document = json.loads(purchase("strange"))
    document["data"]["object"]["client_reference_id"] = strange
    document["data"]["object"]["metadata"][strange] = strange
    no_id = {**json.loads(purchase("no_id")), "data": {"object": {"object": "checkout.session"}}}
    no_id["data"]["object"]["note"] = strange
    with workers(site), ingesting(site) as ingest:
        statuses = [ingest.post(json.dumps(body).encode()).status for body in (document, no_id)]
        site.until_drained()

    assert statuses == [202, 202]
    assert site.settled().keys() | {letter.event_id for letter in site.dead()} == {
        event_id("strange"),
        event_id("no_id"),
    }
    user = "SELECT count(*) FROM user_entitlements WHERE user_id = :user AND active"
    assert count(site, user, user="usr_a\ufffdb\ufffdc\ufffdd") == 1
    assert count(site, "SELECT count(*) FROM payments WHERE amount_minor = 2999") == 1


@pytest.mark.slow
def test_t24_two_operators_replay_the_same_events_at_once_while_workers_die(
    site: FaultSite,
) -> None:
    with workers(site) as worker:
        worker.until_ready()
        site.take(range(60))
        site.until_drained()
    with workers(site, "die_after_commit"), ThreadPoolExecutor(2) as threads:
        codes = list(threads.map(lambda name: replay(site, name), ("ada", "bob")))
        site.check_result()

    requested = "SELECT count(*) FROM audit_logs WHERE action = 'replay.requested'"
    assert codes == [0, 0]
    assert site.fuse("after_commit", 2) >= 1
    assert count(site, requested) >= 60


@pytest.mark.slow
def test_t24_two_operators_replay_dead_letters(site: FaultSite) -> None:
    site.take_quietly(range(20))
    for number in range(5):
        site.redis.hset("paidup:event:body", event_id(number), b"\xff")
    with workers(site), ThreadPoolExecutor(2) as threads:
        site.check_result(dead=map(event_id, range(5)))
        _repair_dead_letters(site)
        codes = list(
            threads.map(lambda name: replay(site, name, "--outcome", "dead"), ("ada", "bob"))
        )
        until(lambda: all(letter.state == "replayed" for letter in site.dead()), why="closed")
        site.check_result(letters=map(event_id, range(5)))

    assert min(codes) == 0, (
        "an operator who comes second finds nothing to replay and gets exit code 1"
    )


def _repair_dead_letters(site: FaultSite) -> None:
    """Restore the payloads that Stripe sent, as if a newer release could read them."""
    with site.engine.begin() as connection:
        for number in range(5):
            body = purchase(number).decode()
            statement = "UPDATE dead_letters SET payload = :body WHERE event_id = :id"
            connection.execute(sa.text(statement), {"body": body, "id": event_id(number)})


def test_a_second_event_under_one_id_is_kept_apart_and_the_first_stands(site: FaultSite) -> None:
    other = purchase("one", type="checkout.session.expired")
    with workers(site), ingesting(site) as ingest:
        first = ingest.deliver("one").status
        second = ingest.post(other)
        until(lambda: bool(site.dead()), why="the second is a dead letter")
        site.check_result(dead=[f"{event_id('one')}#{parse(other).fingerprint}"])

    assert isinstance(second.document, dict)
    assert (first, second.status, second.document["conflict"]) == (202, 200, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first_paid", "upgrade", "refund_partial", "dispute_won"])
def test_t25_the_newest_event_first_and_all_again_backwards(site: FaultSite, name: str) -> None:
    now = int(datetime.now(UTC).timestamp())
    lifecycle = compose(name, shape=Shape.NEW, seed=f"{now}", now=now)
    with workers(site):
        for events in (lifecycle.events[::-1], lifecycle.events, lifecycle.events[::-1]):
            for event in events:
                site.accept([parse(event.body)])
            site.until_drained()
            with site.engine.connect() as connection:
                observed = observe(connection, lifecycle.expected.user_id)
            assert differences(lifecycle.expected, observed) == ()

    assert site.settled() == Counter(event.id for event in lifecycle.events)


def test_t30_an_unreadable_entry_is_snoozed_or_a_dead_letter_and_others_are_applied(
    site: FaultSite,
) -> None:
    keys = "paidup:event:meta", "paidup:event:body"
    site.take_quietly(["newer", "garbage", "headless", "well"])
    header = json.loads(site.redis.hget(keys[0], event_id("newer")) or b"")
    newer = json.dumps({**header, "v": 99}, separators=(",", ":"))
    site.redis.hset(keys[0], event_id("newer"), newer)
    site.redis.hset(keys[1], event_id("garbage"), b"\xff\xfe{" * 9)
    site.redis.hdel(keys[0], event_id("headless"))
    with workers(site):
        until(lambda: site.inbox.backlog().events == 1, why="all but the newer one are gone")
        (peeked,) = site.inbox.peek([event_id("newer")])
        unknown = site.inbox.backlog().unknown_version
        site.take(["after"])
        until(lambda: site.is_settled([event_id("after")]), why="work goes on")

        assert (unknown, peeked.state) == (1, "waiting")
        site.redis.hset(keys[0], event_id("newer"), json.dumps(header, separators=(",", ":")))
        due_now = {event_id("newer"): 0}
        site.redis.zadd(f"paidup:queue:live|{header['partition']}", due_now)
        site.redis.zadd("paidup:ready:live", {header["partition"]: 0})
        site.check_result(dead=[event_id("garbage")])


@pytest.mark.slow
def test_t30_two_releases_work_side_by_side_during_a_deploy(site: FaultSite) -> None:
    newer = "newer_release"
    with workers(site) as old, ingesting(site) as ingest, ingesting(site, newer) as newer_ingest:
        old.until_ready()
        for number in range(20):
            ingest.deliver(f"before-{number}")
            newer_ingest.deliver(f"newer-{number}")
        ids = [event_id(f"before-{number}") for number in range(20)]
        until(lambda: site.is_settled(ids), why="the old release goes on")
        until(lambda: site.inbox.backlog().unknown_version == 20, why="it leaves newer entries")
        with workers(site, newer) as new:
            until(lambda: site.inbox.backlog().processes == 4, seconds=40, why="both work")
            for number in range(60):
                ingest.deliver(f"both-{number}")
                newer_ingest.deliver(f"both-newer-{number}")
            assert old.stop() == 0
            ingest.deliver("last")
            site.check_result()
            assert new.stop() == 0

    assert site.inbox.backlog().unknown_version == 0


@pytest.mark.slow
def test_t30_a_signed_body_that_is_no_event_is_refused(site: FaultSite) -> None:
    bodies = [b"\xff\xfe", b"[]", b"{}", b'{"id": "evt_1"}', b"[" * 100_000, b"9" * 100_000]
    with workers(site), ingesting(site) as ingest:
        statuses = {ingest.post(body).status for body in bodies}
        ingest.deliver("well")
        site.check_result()

    assert statuses == {400}
    with site.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM stripe_events")) == 1
