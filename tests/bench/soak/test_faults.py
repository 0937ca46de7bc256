"""The soak test has many kinds of fault, and each can be named on the command line."""

import random
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.soak.faults import faults_of
from bench.soak.sending import Sending
from bench.soak.site import WAKE_UPS, SoakSite
from ops.send.endpoint import Endpoint
from ops.up.stack import Stack
from runtime.inbox.inbox import Inbox
from runtime.metrics_room import FOLDER_PREFIX
from runtime.redis_client import make_redis
from runtime.settings import Settings
from tests.killing import kill
from tests.workers.waiting import until
from workers.liveness import CLAIM_PREFIX


def site_of(folder: Path, **environ: str) -> SoakSite:
    servers: Any = SimpleNamespace(
        postgres=SimpleNamespace(rebuild_standby=None),
        redis=SimpleNamespace(until_replica_follows=None),
        fail_over_postgres=print,
        fail_over_redis=print,
    )
    stack = Stack(folder, {"REDIS_URL": "redis://127.0.0.1:9/0", **environ})
    return SoakSite(
        stack=stack,
        servers=servers,
        sending=Sending(Endpoint.at("http://127.0.0.1:9/webhooks/stripe"), "whsec_x", 1),
        chance=random.Random(1),  # noqa: S311
        inbox=Inbox(make_redis(Settings.from_env(stack.environ))),
    )


def test_there_are_at_least_25_kinds_with_different_names(tmp_path: Path) -> None:
    kinds = [fault.kind for fault in faults_of(site_of(tmp_path))]

    assert len(kinds) == len(set(kinds))
    assert len(kinds) >= 25


@pytest.fixture
def pool() -> Iterator[int]:
    """Yield a process in the place of a pool."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_kill_is_over_once_the_process_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SoakSite, "restart_ended", lambda _: None)
    with subprocess.Popen(["sleep", "600"]) as process:
        site_of(tmp_path).kill_one(lambda: [process.pid] if process.poll() is None else [])

        assert process.returncode == -signal.SIGKILL


@pytest.mark.servers
def test_a_wake_up_is_lost_once_there_is_one_and_the_pool_goes_on(
    redis_url: str, pool: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path, REDIS_URL=redis_url)
    monkeypatch.setattr(SoakSite, "pools", lambda _: [pool])
    monkeypatch.setattr(SoakSite, "restart_ended", lambda _: None)
    with ThreadPoolExecutor(1) as thread:
        dropping = thread.submit(site.drop_wake_ups)
        until(lambda: state_of(pool) == "T", why="the pool takes no wake-up")
        assert not dropping.done()
        site.inbox.client.rpush(WAKE_UPS, "a wake-up")
        dropping.result(60)

    assert not site.inbox.client.exists(WAKE_UPS)
    assert state_of(pool) != "T"


@pytest.mark.servers
def test_what_a_frozen_process_had_claimed_is_concerned_until_it_goes_on(
    redis_url: str, pool: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path, REDIS_URL=redis_url)
    monkeypatch.setattr(SoakSite, "pool_children", lambda _: [pool])
    monkeypatch.setattr(SoakSite, "restart_ended", lambda _: None)
    claim_file = tmp_path / f"{FOLDER_PREFIX}worker-9101" / f"{CLAIM_PREFIX}{pool}"
    claim_file.parent.mkdir()
    claim_file.write_text("token_1   ")
    site.inbox.client.hset("paidup:claim:token_1", "e:evt_1", "live|test:cus_1")

    site.freeze_pool_child()
    site.thaw()

    assert site.involved == {"evt_1"}
    (held,) = site.held_parties
    assert held.party == "test:cus_1"
    assert held.since < held.until


@pytest.mark.servers
def test_a_loss_of_wake_ups_that_finds_none_is_an_error(
    redis_url: str, pool: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path, REDIS_URL=redis_url)
    monkeypatch.setattr(SoakSite, "pools", lambda _: [pool])
    monkeypatch.setattr(SoakSite, "restart_ended", lambda _: None)
    monkeypatch.setattr("bench.soak.site.START_SECONDS", 0.1)

    with pytest.raises(TimeoutError, match="no wake-up to drop"):
        site.drop_wake_ups()

    assert state_of(pool) != "T"


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
