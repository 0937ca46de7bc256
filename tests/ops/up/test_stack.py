"""``paidup up`` as a process that is started, queried, signalled and killed."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest

from billing.errors import InvalidCatalogue
from ops.demo.plans import PLANS
from ops.errors import CommandFailed
from ops.send.delivery import DeliveryClient
from ops.send.endpoint import Endpoint
from ops.up import services_role, up_file
from ops.up.servers import pidfile
from ops.up.servers.ports import free_port
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.process_table import children_of, command_of
from ops.up.services import SECRETS
from ops.up.stack import Stack
from ops.up.up_file import UpFile
from runtime.plans_file import PlansMissing
from tests.commit_refusal import refuse_services_role

pytestmark = pytest.mark.servers

PAIDUP = (sys.executable, "-m", "ops.cli")
_numbers = count(1)


def until(holds: Callable[[], object], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def status_of(url: str, *, body: bytes | None = None, token: str = "") -> int:
    where = urlsplit(url)
    with closing(HTTPConnection(where.netloc, timeout=5)) as connection:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("POST" if body else "GET", where.path, body, headers)
        return connection.getresponse().status


def logs_in(url: str, token: str) -> bool:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=5)) as connection:
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": url}
        connection.request("POST", "/login", f"token={token}", form)
        return connection.getresponse().status == 303


def is_gone(pid: int) -> bool:
    return not command_of(pid)


class Up:
    """One ``paidup up`` on one folder."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder = folder
        self.environ = {
            **{name: value for name, value in os.environ.items() if name.startswith("COV")},
            "PATH": os.environ["PATH"],
            "PAIDUP_DATA_DIR": str(folder),
            "PAIDUP_PLANS": str(PLANS),
            "PAIDUP_INGEST_BIND": "127.0.0.1:0",
            "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
            "PAIDUP_CONSOLE_BIND": "127.0.0.1:0",
            "PAIDUP_WORKER_PROCESSES": "1",
            "PAIDUP_REDIS_SERVER": str(binary),
        }
        self.child: subprocess.Popen[str] | None = None
        self.said = ""

    def start(self, cwd: Path | None = None) -> UpFile:
        self.child = subprocess.Popen(
            [*PAIDUP, "up"],
            cwd=cwd,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.child.stdout
        self.said = said = ""
        while "Ctrl-C" not in said:
            said = self.child.stdout.readline()
            assert said, f"up ended: {self.child.wait()}"
            self.said += said
        found = up_file.read(self.folder)
        assert found
        return found

    def end(self, number: signal.Signals) -> tuple[str, int]:
        """Send a signal, and return the rest of the output and the exit code."""
        assert self.child
        self.child.send_signal(number)
        said, _ = self.child.communicate(timeout=60)
        code = self.child.returncode
        self.child = None
        return said, code

    def call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*PAIDUP, *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def up(servers_folder: Path, redis_binary: Path) -> Iterator[Up]:
    up = Up(servers_folder / f"up-{next(_numbers)}", redis_binary)
    yield up
    if up.child:
        up.end(signal.SIGKILL)


def test_a_day_in_the_life_of_up(up: Up) -> None:
    first = up.start()

    assert stat.S_IMODE(up_file.path_in(up.folder).stat().st_mode) == 0o600
    assert status_of(f"{first.ingest_url}/readyz") == 200
    assert status_of(first.webhook_url, body=b"{}") == 400
    read = f"{first.console_url}/v1/users/usr_1/entitlements"
    assert status_of(read) == 401
    assert first.console_token
    assert status_of(read, token=first.console_token) == 200
    assert logs_in(first.console_url, (up.folder / "console_login_token").read_text().strip())
    assert not logs_in(first.console_url, first.console_token)

    second = up.call("up")
    assert second.returncode == 1
    assert f"already runs on {up.folder} (process {first.pid})" in second.stderr

    healthy = up.call("doctor", "--json")
    found = {each["check"]: each["state"] for each in json.loads(healthy.stdout)["findings"]}
    assert set(found.values()) == {"ok"}, healthy.stdout

    for part in ("worker", "ingest", "console"):
        os.kill(first.pids[part], signal.SIGKILL)
    until(lambda: all(renewed(up, first, part) for part in ("worker", "ingest", "console")))
    now = up_file.read(up.folder)
    assert now
    assert now.webhook_url == first.webhook_url

    said, code = up.end(signal.SIGINT)
    assert code == 0
    assert "worker ended (signal 9) and will be restarted" in said
    assert "the data stays in" in said
    assert all(is_gone(pid) for pid in now.pids.values())
    assert not up_file.path_in(up.folder).exists()
    assert up.call("doctor").returncode == 1

    # Servers of its own are migrated, and not the one that this names.
    up.environ["PAIDUP_OWNER_DATABASE_URL"] = "postgresql://production.invalid/paidup"
    again = up.start()
    assert again.webhook_secret == first.webhook_secret
    assert again.console_token == first.console_token
    said, code = up.end(signal.SIGTERM)
    assert code == 0
    assert "now the catalogue of record" not in said


def renewed(up: Up, first: UpFile, part: str) -> bool:
    now = up_file.read(up.folder)
    return now is not None and now.pids.get(part, first.pids[part]) != first.pids[part]


def test_a_killed_up_leaves_nothing_running(up: Up) -> None:
    found = up.start()

    up.end(signal.SIGKILL)

    until(lambda: all(is_gone(pid) for pid in found.pids.values()))
    assert up.call("migrate").returncode == 1


def test_what_a_killed_up_left_behind_is_taken_over(up: Up) -> None:
    """Kill the parent watch, too, so that every part still runs."""
    found = up.start()
    (parent_watch,) = [
        pid for pid in children_of(found.pid) if "servers.parent_watch" in command_of(pid)
    ]
    os.kill(parent_watch, signal.SIGKILL)
    up.end(signal.SIGKILL)
    assert not any(is_gone(pid) for pid in found.pids.values())

    again = up.start()

    assert all(is_gone(pid) for pid in found.pids.values())
    assert not any(is_gone(pid) for pid in again.pids.values())
    _, code = up.end(signal.SIGTERM)
    assert code == 0


def stack_on(folder: Path, **environ: str) -> Stack:
    return Stack(folder, {"PAIDUP_PLANS": str(PLANS), **environ}, ports="free")


def environ_of(pid: int) -> dict[str, str]:
    """Return the environment with which a process was started."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def secrets_of(stack: Stack) -> dict[str, set[str]]:
    """Return the secret variables that each service was given."""
    services = {"ingest": stack.ingest, "worker": stack.worker, "console": stack.console}
    return {
        name: set(SECRETS) & environ_of(part.pid).keys() for name, part in services.items() if part
    }


SECRETS_OF_SERVICES = {
    "ingest": {"STRIPE_WEBHOOK_SECRET", "REDIS_URL"},
    "worker": {"DATABASE_URL", "REDIS_URL", "STRIPE_API_KEY"},
    "console": {"DATABASE_URL", "REDIS_URL", "PAIDUP_CONSOLE_SECRET", "PAIDUP_CONSOLE_TOKENS"},
}


def refuses(url: str, statement: LiteralString) -> bool:
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


def test_each_service_gets_its_own_secrets_and_none_the_owner_s(
    servers_folder: Path, redis_binary: Path
) -> None:
    given = {"PAIDUP_REDIS_SERVER": str(redis_binary), "STRIPE_API_KEY": "rk_test_of_this_test"}
    folder = servers_folder / "roles"
    with stack_on(folder, **given) as stack:
        assert secrets_of(stack) == SECRETS_OF_SERVICES
        worker = stack.worker
        assert worker
        assert environ_of(worker.pid)["DATABASE_URL"] == stack.database_url
        assert refuses(stack.database_url, "DELETE FROM audit_logs")
        assert refuses(stack.database_url, "DROP TABLE audit_logs CASCADE")
        reader = stack.reader_database_url
        assert reader
        assert not refuses(reader, "SELECT FROM effective_entitlements")
        assert refuses(reader, "SELECT FROM payments")
        assert stack.postgres
        with psycopg.connect(stack.postgres.admin_url, dbname="paidup", autocommit=True) as admin:
            for role in ("paidup_app", "paidup_reader"):  # an `up` without them made this folder
                admin.execute(f"DROP OWNED BY {role}")
                admin.execute(f"DROP ROLE {role}")

    with stack_on(folder, **given) as stack:
        assert refuses(stack.database_url, "DELETE FROM audit_logs")
        assert not refuses(stack.database_url, "SELECT FROM audit_logs")


def test_on_a_given_server_the_services_get_a_role_where_the_owner_may_create_one(
    servers_folder: Path, postgres_server: Postgres, database: str, redis_url: str
) -> None:
    owner = f"{postgres_server.admin_url.rpartition('/')[0]}/{database.rpartition('/')[2]}"
    folder = servers_folder / "given-roles"
    try:
        with stack_on(folder, DATABASE_URL=owner, REDIS_URL=redis_url) as stack:
            assert stack.owner_database_url == owner
            assert refuses(stack.database_url, "DELETE FROM audit_logs")
            assert secrets_of(stack)["ingest"] == SECRETS_OF_SERVICES["ingest"]
            assert (
                up_file.completed({"PAIDUP_DATA_DIR": str(folder), "DATABASE_URL": owner})[
                    "REDIS_URL"
                ]
                == redis_url
            )

        # Its password belongs to the folder that made it: another `up` leaves it alone.
        assert services_role.services_url(owner, servers_folder) == owner
        assert services_role.services_url(owner, folder) == stack.database_url
    finally:
        with psycopg.connect(owner, autocommit=True) as admin:
            for role in ("paidup_app", "paidup_reader"):
                admin.execute(f"DROP OWNED BY {role}")
                admin.execute(f"DROP ROLE {role}")


def test_on_a_given_server_that_refuses_the_role_the_services_connect_as_the_owner(
    servers_folder: Path,
    postgres_server: Postgres,
    database: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = f"{postgres_server.admin_url.rpartition('/')[0]}/{database.rpartition('/')[2]}"
    refuse_services_role(monkeypatch, owner)
    try:
        with stack_on(servers_folder / "refused", DATABASE_URL=owner, REDIS_URL=redis_url) as stack:
            assert stack.database_url == stack.owner_database_url == owner
    finally:
        with psycopg.connect(owner, autocommit=True) as admin:
            admin.execute("DROP OWNED BY paidup_reader")
            admin.execute("DROP ROLE paidup_reader")


def test_servers_that_are_given_are_used_and_left_alone(
    servers_folder: Path, database: str, redis_url: str
) -> None:
    folder = servers_folder / "given"

    with stack_on(folder, DATABASE_URL=database, REDIS_URL=redis_url, REDIS_URL_FILE="") as stack:
        assert stack.database_url == stack.owner_database_url == database
        assert stack.redis_url == redis_url
        found = up_file.read(folder)
        assert found
        assert set(found.pids) == {"ingest", "worker", "console"}

    assert not (folder / "postgres").exists()
    assert not (folder / "redis").exists()


def test_a_start_that_fails_leaves_nothing_running(
    servers_folder: Path, redis_binary: Path, redis_url: str
) -> None:
    folder = servers_folder / "fails"
    port = redis_url.rpartition(":")[2].partition("/")[0]
    given = {
        "PAIDUP_PLANS": str(PLANS),
        "PAIDUP_REDIS_SERVER": str(redis_binary),
        "PAIDUP_INGEST_BIND": f"127.0.0.1:{port}",
    }

    with pytest.raises(CommandFailed, match="is in use"):
        Stack(folder, given).start()

    assert (folder / "redis").exists()
    assert pidfile.stop_all(folder / "run", seconds=0) == 0
    assert not up_file.path_in(folder).exists()


@pytest.mark.parametrize(
    ("content", "refusal"), [(None, PlansMissing), ("[plans.a]\nprice = 1", InvalidCatalogue)]
)
def test_plans_that_cannot_be_used_are_refused_before_anything_is_started(
    content: str | None, refusal: type[Exception], tmp_path: Path
) -> None:
    plans = tmp_path / "mine.toml"
    if content is not None:
        plans.write_text(content)
    folder = tmp_path / "data"

    with pytest.raises(refusal):
        stack_on(folder, PAIDUP_PLANS=str(plans)).start()

    assert not folder.exists()


def test_up_names_missing_plans_in_one_sentence(up: Up) -> None:
    up.environ["PAIDUP_PLANS"] = "nowhere.toml"

    refused = up.call("up")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "nowhere.toml: No such file or directory; set PAIDUP_PLANS" in refused.stderr
    assert not up.folder.exists()


def test_up_in_a_folder_without_plans_uses_those_of_the_demo(
    up: Up, tmp_path: Path, database: str, redis_url: str
) -> None:
    del up.environ["PAIDUP_PLANS"]
    up.environ |= {"DATABASE_URL": database, "REDIS_URL": redis_url}

    up.start(cwd=tmp_path)
    _, code = up.end(signal.SIGINT)

    assert code == 0
    assert f"the plans of `paidup demo` are used ({PLANS})" in up.said
    assert f"{PLANS} is now the catalogue of record" in up.said


def test_an_address_that_is_taken_is_named_before_anything_is_written_down(
    servers_folder: Path, database: str, redis_url: str
) -> None:
    port = redis_url.rpartition(":")[2].partition("/")[0]
    environ = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "PAIDUP_INGEST_BIND": f"127.0.0.1:{port}",
        "PAIDUP_PLANS": str(PLANS),
    }

    with (
        pytest.raises(CommandFailed, match="PAIDUP_INGEST_BIND"),
        Stack(servers_folder / "taken-address", environ),
    ):
        pytest.fail("it started")


def test_the_operators_secret_and_address_stand(
    servers_folder: Path, database: str, redis_url: str
) -> None:
    port = free_port()
    environ = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "STRIPE_WEBHOOK_SECRET": "whsec_mine,whsec_old",
        "PAIDUP_INGEST_BIND": f"127.0.0.1:{port}",
        "PAIDUP_WEBHOOK_PATH": "/hooks/",
        "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
        "PAIDUP_CONSOLE_BIND": "127.0.0.1:0",
        "PAIDUP_CONSOLE_TOKENS": "mine",
        "PAIDUP_PLANS": str(PLANS),
    }

    with Stack(servers_folder / "operators", environ) as stack:
        assert stack.webhook_url == f"http://127.0.0.1:{port}/hooks"
        up = up_file.read(stack.data_dir)
        assert up is not None
        assert up.as_environ()["PAIDUP_WEBHOOK_PATH"] == "/hooks"
        client = DeliveryClient(Endpoint.at(stack.webhook_url), stack.webhook_secret)
        assert client.post(b"{}").status == 400
        client.close()
        assert stack.webhook_secret == "whsec_mine"
        assert stack.console_token == "mine"
    assert not (servers_folder / "operators" / "webhook_secret").exists()
    assert not (servers_folder / "operators" / "console_token").exists()
    assert not (servers_folder / "operators" / "console_login_token").exists()
