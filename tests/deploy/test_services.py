"""Run every service of the compose file by its own command, as a process on this machine.

Names of other containers become loopback addresses, and ports become free ones. All else stays.
Redis runs through its own start script, so its users are the shipped ones.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import yaml

from ops.demo.plans import PLANS
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose as tell
from ops.up.servers.ports import free_port
from ops.up.servers.postgres_server import Postgres
from runtime import schema
from runtime.database.engine import engine_for
from tests.deploy.services import count, post, read, ready, wait_until

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
PAIDUP = Path(sys.executable).parent / "paidup"
SIGNING_SECRET = "whsec_composed_for_this_test_only"
DOTENV = {
    "STRIPE_WEBHOOK_SECRET": SIGNING_SECRET,
    "POSTGRES_PASSWORD": "postgrespassword",
    "POSTGRES_APP_PASSWORD": "servicespassword",
    "REDIS_PASSWORD": "redispassword",
    "PAIDUP_LIVEMODE": "test",
    "PAIDUP_CONSOLE_TOKENS": "composed-for-this-test-only",
}


def interpolated(text: str) -> str:
    """Replace ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}`` as compose does."""
    pattern = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
    return pattern.sub(lambda m: DOTENV.get(m[1]) or (m[3] if m[2] == "-" else ""), text)


class ComposeStack:
    """The services of the compose file, on loopback."""

    def __init__(self, folder: Path, owner_url: str) -> None:
        self.folder = folder
        self.services: Any = yaml.safe_load(interpolated((ROOT / "docker-compose.yml").read_text()))
        self.services = self.services["services"]
        self.redis_port, self.ingest_port, self.metrics_port, self.console_port = (
            free_port() for _ in range(4)
        )
        self.owner_url = owner_url
        self.replacements = {
            r"postgresql://paidup:postgrespassword@postgres:5432/paidup": owner_url,
            r"@postgres:5432/paidup": f"@{owner_url.partition('@')[2]}",
            r"@redis:6379": f"@127.0.0.1:{self.redis_port}",
            r"0\.0\.0\.0:8000": f"127.0.0.1:{self.ingest_port}",
            r"0\.0\.0\.0:8001": f"127.0.0.1:{self.console_port}",
            r"0\.0\.0\.0:9101": f"127.0.0.1:{self.metrics_port}",
            r"127\.0\.0\.1:8000": f"127.0.0.1:{self.ingest_port}",
            r"127\.0\.0\.1:8001": f"127.0.0.1:{self.console_port}",
            r"127\.0\.0\.1:9101": f"127.0.0.1:{self.metrics_port}",
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def here(self, text: str) -> str:
        """Return the text with this machine's addresses."""
        pattern = re.compile("|".join(f"({each})" for each in self.replacements))
        values = list(self.replacements.values())
        return pattern.sub(lambda m: values[(m.lastindex or 1) - 1], text)

    def environment(self, service: str) -> dict[str, str]:
        image = {"PAIDUP_PLANS": str(PLANS), "PAIDUP_DATA_DIR": str(self.folder)}
        given = self.services[service]["environment"]
        return {
            "PATH": os.environ["PATH"],
            **image,
            **{n: self.here("" if v is None else str(v)) for n, v in given.items()},
        }

    def start(self, service: str) -> subprocess.Popen[bytes]:
        command = [PAIDUP, *self.services[service]["command"]]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment(service))
        self.running.append(process)
        return process

    def start_redis(self, binary: Path) -> None:
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "redis-server").symlink_to(binary)
        script = [str(ROOT / "deploy" / "redis" / "start.sh")]
        assert self.services["redis"]["command"] == ["sh", "/etc/paidup/start.sh"]
        arguments = ["--port", str(self.redis_port), "--bind", "127.0.0.1"]
        environ = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "REDIS_RUN_DIR": str(self.folder),
            "REDIS_DATA_DIR": str(self.folder),
            **self.services["redis"]["environment"],
        }
        output = (self.folder / "redis.log").open("wb")
        with output:
            process = subprocess.Popen(["sh", *script, *arguments], env=environ, stdout=output)
        self.running.append(process)
        wait_until(self.redis_answers, "an answer of Redis")

    def redis_client(self) -> redis.Redis:
        url = self.environment("ingest")["REDIS_URL"]
        return redis.Redis.from_url(url)

    def redis_answers(self) -> bool:
        with suppress(redis.ConnectionError), self.redis_client() as client:
            return bool(client.ping())
        return False

    def is_healthy(self, service: str) -> bool:
        kind, *command = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        check = [sys.executable if part == "python" else self.here(part) for part in command]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    def stop(self) -> None:
        for process in reversed(self.running):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.running):
            process.wait(60)


@pytest.fixture
def stack(tmp_path: Path, postgres_server: Postgres) -> Iterator[ComposeStack]:
    """Build a stack with an empty database, whose owner is a superuser as in compose's image."""
    name = f"composed_{os.getpid()}"
    postgres_server.create_database(name)
    composed = ComposeStack(tmp_path, f"{postgres_server.admin_url.rpartition('/')[0]}/{name}")
    yield composed
    composed.stop()
    postgres_server.drop_database(name)
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS paidup_app, paidup_reader")


def test_the_composed_services_settle_events_and_stop(
    stack: ComposeStack, redis_binary: Path
) -> None:
    stack.start_redis(redis_binary)
    migrate_as_one_role_did(stack.owner_url)
    assert stack.start("migrate").wait(60) == 0
    ingest, worker, console = (stack.start(name) for name in ("ingest", "worker", "console"))
    for service in ("ingest", "worker", "console"):
        wait_until(lambda service=service: stack.is_healthy(service), f"health of {service}")  # type: ignore[misc]
    wait_until(lambda: ready(stack.ingest_port), "readiness of ingest")
    wait_until(lambda: ready(stack.console_port), "readiness of the console")

    lifecycle = tell("first_paid", shape=Shape.NEW, seed="compose", now=int(time.time()))
    url = f"http://127.0.0.1:{stack.ingest_port}/webhooks/stripe"
    answers = {post(url, event.body, SIGNING_SECRET) for event in lifecycle.events}

    assert answers == {202}
    with psycopg.connect(stack.environment("worker")["DATABASE_URL"], autocommit=True) as database:
        wait_until(lambda: count(database) == len(lifecycle.events), "settling")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute("delete from audit_logs")
    answer = read(stack.console_port, lifecycle.expected.user_id, DOTENV["PAIDUP_CONSOLE_TOKENS"])
    assert answer["features"] == lifecycle.expected.features
    assert stack.start("ops").wait(60) == 0, "doctor found a problem"
    for process in (ingest, worker, console):
        process.send_signal(signal.SIGTERM)
        assert process.wait(100) == 0


def migrate_as_one_role_did(owner_url: str) -> None:
    """Leave the database as a release left it that ran everything as the owner."""
    engine = engine_for(owner_url, application_name="test")
    schema.upgrade(engine)
    engine.dispose()


def test_the_shipped_redis_user_cannot_destroy_an_inbox(
    stack: ComposeStack, redis_binary: Path
) -> None:
    stack.start_redis(redis_binary)

    with stack.redis_client() as client:
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        for forbidden in ("FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG SET maxmemory 1", "SHUTDOWN"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(forbidden)
    with redis.Redis(port=stack.redis_port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_the_start_script_runs_the_redis_of_this_machine(stack: ComposeStack) -> None:
    installed = shutil.which("redis-server")
    if installed is None:
        pytest.skip("redis-server is not installed: `apt-get install redis-server` runs this test")
    stack.start_redis(Path(installed))
    stack.start("ingest")
    wait_until(lambda: ready(stack.ingest_port), "readiness of ingest")
    lifecycle = tell("first_paid", shape=Shape.NEW, seed="debian", now=int(time.time()))

    url = f"http://127.0.0.1:{stack.ingest_port}/webhooks/stripe"

    assert post(url, lifecycle.events[0].body, SIGNING_SECRET) == 202
