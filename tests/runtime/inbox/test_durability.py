from collections.abc import Iterator
from unittest.mock import Mock

import pytest
import redis

from ops.up.servers.redis_server import Redis
from runtime.inbox.durability import (
    CLUSTER,
    UnsupportedRedis,
    durability_problems,
    refuse_cluster,
    saving_failures,
)
from tests.runtime.inbox.entry_builders import Client

pytestmark = pytest.mark.servers


@pytest.fixture
def client(own_redis: Redis) -> Iterator[Client]:
    client = own_redis.client()
    yield client
    client.close()


def test_a_server_with_paidup_s_settings_is_safe(client: Client) -> None:
    assert durability_problems(client, trusted=False) == ()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("appendonly", "no", "Redis: set appendonly yes (it is no)"),
        ("appendfsync", "everysec", "Redis: set appendfsync always (it is everysec)"),
        ("no-appendfsync-on-rewrite", "yes", "Redis: set no-appendfsync-on-rewrite no (it is yes)"),
        (
            "maxmemory-policy",
            "allkeys-lru",
            "Redis: set maxmemory-policy noeviction (it is allkeys-lru)",
        ),
        ("maxmemory", "0", "Redis: set maxmemory to about 60 %"),
    ],
)
def test_each_unsafe_setting_is_named_with_what_to_set(
    client: Client, name: str, value: str, sentence: str
) -> None:
    client.config_set(name, value)

    (problem,) = durability_problems(client, trusted=False)

    assert problem.startswith(sentence)
    assert durability_problems(client, trusted=True) == ()


def test_all_problems_are_named_at_once(client: Client) -> None:
    client.config_set("appendfsync", "no")
    client.config_set("maxmemory", "0")

    assert len(durability_problems(client, trusted=False)) == 2


def test_a_server_that_hides_its_settings_must_be_trusted_explicitly(
    client: Client, own_redis: Redis
) -> None:
    client.execute_command("ACL SETUSER tenant on >secret ~* &* +@all -config")
    tenant = redis.Redis.from_url(
        own_redis.url.replace("redis://:", "redis://tenant:").replace(
            own_redis.url.split(":")[2].split("@")[0], "secret"
        )
    )

    (problem,) = durability_problems(tenant, trusted=False)

    assert "PAIDUP_REDIS_DURABILITY=trusted" in problem
    assert durability_problems(tenant, trusted=True) == ()
    tenant.close()


def test_the_documented_rights_suffice_for_the_check(client: Client, own_redis: Redis) -> None:
    client.execute_command("ACL SETUSER reader on >secret ~* +info +config|get")
    host = own_redis.url.split("@")[1]
    reader = redis.Redis.from_url(f"redis://reader:secret@{host}")

    assert durability_problems(reader, trusted=False) == ()
    reader.close()


def test_a_replica_is_refused(client: Client, redis_server: Redis) -> None:
    client.config_set("masterauth", redis_server.url.split(":")[2].split("@")[0])
    client.replicaof("127.0.0.1", str(redis_server.port))

    for trusted in (True, False):
        assert any("replica" in problem for problem in durability_problems(client, trusted=trusted))


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        ({"aof_last_write_status": "err"}, "could not write its append-only file"),
        ({"loading": "1"}, "still loading its file"),
    ],
)
def test_problems_in_info_count_even_if_settings_are_trusted(
    info: dict[str, str], sentence: str
) -> None:
    client = Mock(**{"info.return_value": info})

    (problem,) = durability_problems(client, trusted=True)

    assert sentence in problem


def test_a_running_server_tells_whether_it_could_save(client: Client) -> None:
    info = client.info("persistence")

    assert {info["aof_last_bgrewrite_status"], info["rdb_last_bgsave_status"]} == {"ok"}
    assert saving_failures(info) == ()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("aof_last_bgrewrite_status", "could not rewrite its append-only file"),
        ("rdb_last_bgsave_status", "could not save a snapshot"),
    ],
)
def test_what_redis_could_not_save_is_named_and_is_no_durability_problem(
    name: str, sentence: str
) -> None:
    client = Mock(**{"info.return_value": {name: "err"}})

    (says,) = saving_failures({name: "err"})

    assert sentence in says
    assert durability_problems(client, trusted=True) == ()


def test_a_cluster_is_named_alone_with_what_to_use_instead(cluster_url: str) -> None:
    with redis.Redis.from_url(cluster_url, protocol=2) as client:
        assert durability_problems(client, trusted=False) == (CLUSTER,)
        assert durability_problems(client, trusted=True) == (CLUSTER,)
        with pytest.raises(UnsupportedRedis, match=r"cluster mode.*Sentinel"):
            refuse_cluster(client)


def test_a_server_without_cluster_mode_is_not_refused(client: Client) -> None:
    refuse_cluster(client)
