"""`doctor` runs every script as the services do, and leaves nothing behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from ops.doctor.check_scripts import PREFIX, InboxRehearsal, check_scripts
from ops.doctor.findings import State
from ops.up.servers.redis_server import Redis
from runtime.inbox import scripts
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import Client, event

pytestmark = pytest.mark.servers

LUA = Path(scripts.__file__).parent / "lua"


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        yield client


@pytest.fixture
def tenant(redis_server: Redis, client: Client) -> Iterator[Client]:
    """A user who may do what the configuration we ship allows, and less in some tests."""
    client.execute_command(
        "ACL SETUSER tenant reset on >pw ~paidup:* &* +@all -@dangerous -@admin +info +config|get"
    )
    with redis.Redis(port=redis_server.port, username="tenant", password="pw", protocol=2) as user:
        yield user
    client.execute_command("ACL DELUSER tenant")


def programs() -> set[str]:
    """Return the scripts that are run, and not only used by others."""
    used = set[str]()
    for path in LUA.glob("*.lua"):
        first = path.read_text().partition("\n")[0]
        used |= set(first.removeprefix("--!use ").split()) if first.startswith("--!use") else set()
    return {path.stem for path in LUA.glob("*.lua")} - used


def test_every_script_is_run_and_no_key_is_left(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Inbox(client).accept(event(1))
    before = {key: client.dump(key) for key in client.keys("*")}
    ran = set[str]()
    digest = scripts._digest

    def note(name: str) -> str:
        ran.add(name)
        return digest(name)

    monkeypatch.setattr(scripts, "_digest", note)

    (finding,) = check_scripts(client, replicas=0)

    assert finding.state is State.OK, finding.says
    assert ran == programs()
    assert {key: client.dump(key) for key in client.keys("*")} == before


def test_the_user_that_we_ship_may_run_them_all(tenant: Client, client: Client) -> None:
    (finding,) = check_scripts(tenant, replicas=0)

    assert finding.state is State.OK, finding.says
    assert client.keys("*") == []


@pytest.mark.parametrize("right", ["-evalsha", "-zadd", "-hincrby", "resetkeys ~other:*"])
def test_a_right_that_is_missing_is_named_and_no_key_is_left(
    tenant: Client, client: Client, right: str
) -> None:
    client.execute_command(f"ACL SETUSER tenant {right}")

    (finding,) = check_scripts(tenant, replicas=0)

    assert finding.state is State.PROBLEM
    # Redis 7.0 says that the user can't, Valkey that the user has no permissions.
    assert "permission" in finding.says or "can't" in finding.says
    assert client.keys("*") == []


def test_a_cluster_fails_at_the_first_script_that_uses_two_slots(cluster_url: str) -> None:
    with redis.Redis.from_url(cluster_url, protocol=2) as client:
        (finding,) = check_scripts(client, replicas=0)

    assert finding.state is State.PROBLEM
    assert "all keys in one place" in finding.says


def test_a_check_that_was_killed_leaves_its_keys_to_the_next_one(client: Client) -> None:
    killed = InboxRehearsal(client, PREFIX, replicas=0)
    for name, run in killed.steps():
        if name == "park":
            break
        run()
    assert client.keys(f"{PREFIX}*") != []

    (finding,) = check_scripts(client, replicas=0)

    assert finding.state is State.OK, finding.says
    assert client.keys("*") == []


def test_keys_that_cannot_be_removed_are_named_by_their_prefix(
    tenant: Client, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = InboxRehearsal.steps

    def lose_the_right(self: InboxRehearsal) -> Iterator[tuple[str, Callable[[], object]]]:
        yield from steps(self)
        client.execute_command("ACL SETUSER tenant -del")

    monkeypatch.setattr(InboxRehearsal, "steps", lose_the_right)

    _, finding = check_scripts(tenant, replicas=0)

    assert finding.state is State.PROBLEM
    assert f"which start with {PREFIX}, could not be removed" in finding.says


def test_two_checks_at_once_do_not_meet(client: Client) -> None:
    client.set("paidup:doctor", "another", px=60_000)

    (finding,) = check_scripts(client, replicas=0)

    assert finding.state is State.WARNING
    assert "another `paidup doctor` is at it" in finding.says
    assert client.keys("*") == [b"paidup:doctor"]


def test_missing_replicas_fail_as_they_fail_ingest(client: Client) -> None:
    (finding,) = check_scripts(client, replicas=1)

    assert finding.state is State.PROBLEM
    assert finding.says.startswith("`accept` failed: 0 of 1 replicas have the last write")
    assert client.keys("*") == []
