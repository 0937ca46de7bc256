import pytest
from rich.console import Console

from bench import where
from ops.up.servers.redis_server import Redis

BUSY = "local began = os.clock() while os.clock() < began + 0.02 do end"

pytestmark = pytest.mark.servers


def test_a_pause_of_redis_is_listed_with_its_length(own_redis: Redis) -> None:
    with own_redis.client() as client:
        client.config_set("latency-monitor-threshold", 10)
        while not client.latency_latest():
            client.eval(BUSY, 0)

        tables = list(where._commands(client, 1))

    console = Console(record=True, width=200)
    console.print(tables[-1])
    assert "pauses of 10 ms and more (LATENCY): command" in console.export_text()
