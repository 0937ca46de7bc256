"""A real server and a real Redis, with deaths, stalls and stops during requests."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import count
from math import inf
from pathlib import Path

import pytest
import redis

from ops.up.servers.redis_server import Redis
from runtime.inbox.durability import CLUSTER
from runtime.inbox.wrong_paths import WrongPaths
from tests.fakes import SECRET
from tests.ingest.ingest_client import event, sign
from tests.ingest.ingest_process import ServerProcess, TimedAnswer, serving, start, wait_until
from tests.killing import kill

pytestmark = pytest.mark.servers

PROMISED_SECONDS = 1.0
POST = b"POST /webhooks/stripe HTTP/1.1\r\n"
_numbers = count(time.time_ns())


def new_event() -> bytes:
    return event(f"evt_{next(_numbers)}")


@pytest.fixture
def served(redis_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(redis_url, tmp_path) as ingest:
        yield ingest


@pytest.fixture(scope="module")
def shared(
    redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """Serve one ingest for all tests that do not change it."""
    with serving(redis_server.url, tmp_path_factory.mktemp("ingest")) as ingest:
        yield ingest


class TestIngestServing:
    def test_processes_answer_and_count_as_one(self, shared: ServerProcess) -> None:
        bodies = [new_event() for _ in range(20)]

        with ThreadPoolExecutor(10) as pool:
            first = list(pool.map(shared.deliver, bodies))
            second = list(pool.map(shared.deliver, bodies))

        assert {answer.status for answer in first} == {202}
        assert {answer.status for answer in second} == {200}
        assert shared.count('billing_webhook_received_total{result="accepted"}') == 20
        assert shared.count('idempotent_hits_total{operation="ingest"}') == 20
        assert shared.count("billing_backlog_events") >= 0

    def test_metrics_say_how_long_the_inbox_has_room_at_the_rate_of_the_last_minute(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        # The gauges of one process, which has read them all at once.
        with serving(redis_url, tmp_path, PAIDUP_INGEST_PROCESSES="1") as ingest:
            ingest.deliver(new_event())
            with redis.Redis.from_url(redis_url) as client:
                noted = int(client.lindex("paidup:sizes", 0).split()[0])
                client.lpush("paidup:sizes", f"{noted - 30_000} 0")

            gauges = dict[str, float]()

            def grows() -> bool:
                gauges.update(gauges_of_room(ingest))
                return gauges.get("growth_events_per_second", 0) > 0

            wait_until(grows)

            assert gauges["full_in_seconds"] < inf
            assert gauges["bytes_per_event"] > 0
            assert gauges["room_bytes"] > 0

    @pytest.mark.parametrize(
        "request_bytes",
        [
            POST + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            POST + b"Host: x\r\nContent-Length: abc\r\n\r\n",
            POST + b"Host: x\r\nContent-Length: -1\r\n\r\n",
            POST + b"Content-Length: 0\r\nX: \xff\xe9\r\n\r\n",
            POST + b"Host: [::1\r\nContent-Length: 0\r\n\r\n",
            b"GET /%ff%00%2e?%ff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x00\xff" * 20,
            b"\r\n\r\n\x00\r\n\r\n",
        ],
        ids=range(11),
    )
    def test_an_invalid_request_is_no_server_error(
        self, shared: ServerProcess, request_bytes: bytes
    ) -> None:
        with shared.connect() as connection:
            with suppress(OSError):  # it may be refused before it is sent whole
                connection.sendall(request_bytes)
                connection.shutdown(socket.SHUT_WR)
            answer = _all_of(connection)

        assert b" 500 " not in answer.partition(b"\r\n")[0]
        assert shared.deliver(new_event()).status == 202

    def test_a_chunked_body_over_the_limit_is_too_large(self, shared: ServerProcess) -> None:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with shared.connect() as connection:
            connection.sendall(POST + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall(chunk * 17)
            answer = connection.recv(1000)

        assert b" 413 " in answer.partition(b"\r\n")[0]


def gauges_of_room(ingest: ServerProcess) -> dict[str, float]:
    """Return the gauges of the inbox, by the end of their names."""
    scrape = ingest.get("/metrics").body.decode()
    return {
        name: float(value)
        for name, value in re.findall(r"^billing_inbox_(\w+) (\S+)$", scrape, re.MULTILINE)
    }


class TestPath:
    def test_deliveries_at_a_wrong_path_are_in_the_log_and_in_redis(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        environ = {"PAIDUP_WEBHOOK_PATH": "/hooks", "PAIDUP_INGEST_PROCESSES": "1"}
        with (
            serving(redis_url, tmp_path, **environ) as ingest,
            redis.Redis.from_url(redis_url) as client,
        ):
            body = new_event()
            signature = sign(body, at=int(time.time()))
            wrong = ingest.post(body, signature)
            right = ingest.post(body, signature, path="/hooks/")
            wait_until(lambda: bool(WrongPaths(client).read("/hooks")))

            ((path, deliveries),) = [
                (each.path, each.deliveries) for each in WrongPaths(client).read("/hooks")
            ]
            assert (wrong.status, right.status) == (404, 202)
            assert (path, deliveries) == ("/webhooks/stripe", 1)
            assert "signed deliveries at a wrong path" in ingest.log()
            assert ingest.count("billing_webhook_wrong_path_total") == 1


class TestProcesses:
    def test_a_killed_process_is_replaced(self, served: ServerProcess) -> None:
        _kill_all(served)

        wait_until(served.ready)

        assert served.deliver(new_event()).status == 202

    def test_a_process_that_dies_again_and_again_does_not_end_the_server(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        with serving(redis_url, tmp_path, PAIDUP_INGEST_PROCESSES="1") as served:
            for _ in range(3):
                _kill_all(served)

            wait_until(served.ready)
            assert served.deliver(new_event()).status == 202
            assert "gave up" in served.log()

    def test_a_server_that_gave_up_can_be_stopped_before_it_is_started_again(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        with serving(redis_url, tmp_path, PAIDUP_INGEST_PROCESSES="1") as served:
            _kill_all(served)
            for pid in served.server_processes():
                kill(pid)
            wait_until(lambda: "gave up" in served.log())

            assert served.stop() == 0

    def test_processes_end_when_their_launcher_is_killed(self, served: ServerProcess) -> None:
        orphans = served.server_processes()
        served.process.kill()
        served.process.wait()

        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))

    def test_it_starts_again_at_once_after_a_kill(
        self, served: ServerProcess, redis_url: str, tmp_path: Path
    ) -> None:
        served.process.kill()
        served.process.wait()

        with serving(redis_url, tmp_path, PAIDUP_INGEST_BIND=served.address) as again:
            assert again.deliver(new_event()).status == 202

    def test_a_stop_does_not_wait_for_a_half_sent_body(self, served: ServerProcess) -> None:
        with served.half_sent():
            assert served.stop(seconds=15) == 0


class TestStrangersWhoStall:
    @pytest.fixture
    def served(self, redis_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
        with serving(redis_url, tmp_path, PAIDUP_INGEST_PROCESSES="1") as ingest:
            yield ingest

    def test_half_sent_bodies_delay_no_other_request_and_are_closed(
        self, served: ServerProcess
    ) -> None:
        with ExitStack() as stack:
            stalled = [stack.enter_context(served.half_sent()) for _ in range(700)]
            opened = time.monotonic()
            good = [served.deliver(new_event()) for _ in range(5)]

            assert {answer.status for answer in good} == {202}
            assert max(answer.seconds for answer in good) < PROMISED_SECONDS
            for connection in stalled:
                _all_of(connection)
            assert time.monotonic() - opened < 15

        assert served.deliver(new_event()).status == 202

    def test_a_byte_now_and_then_does_not_extend_the_time(self, served: ServerProcess) -> None:
        with served.half_sent() as connection:
            connection.settimeout(0.5)
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                try:
                    connection.sendall(b"x")
                    if not connection.recv(1000):
                        return
                except TimeoutError:
                    continue
                except ConnectionError:
                    return

        pytest.fail("the connection was left open")

    def test_a_whole_request_before_the_half_does_not_extend_the_time(
        self, served: ServerProcess
    ) -> None:
        with served.connect() as connection:
            head = POST + b"Host: x\r\nContent-Length: 100\r\n\r\nhalf"
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + head)

            assert b" 200 " in _all_of(connection)

    def test_an_idle_connection_is_used_again(self, served: ServerProcess) -> None:
        with served.connect() as connection:
            for _ in range(2):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while b"alive" not in answer:
                    answer += connection.recv(1000)
                assert b" 200 " in answer
                time.sleep(2)


class TestRedisAway:
    """Refusals come within a second, measured by the client: the contract's only time limit."""

    @pytest.fixture
    def served(self, own_redis: Redis, tmp_path: Path) -> Iterator[ServerProcess]:
        with serving(own_redis.url, tmp_path) as ingest:
            yield ingest

    def test_a_frozen_redis_is_refused_in_time_and_used_again_afterwards(
        self, served: ServerProcess, own_redis: Redis
    ) -> None:
        own_redis.freeze()
        try:
            answers = _burst(served, requests=300)
        finally:
            own_redis.thaw()

        assert {answer.status for answer in answers} == {503}
        assert {answer.headers.get("retry-after") for answer in answers} == {"5"}
        assert max(answer.seconds for answer in answers) < PROMISED_SECONDS
        wait_until(lambda: _everywhere(served, 200))
        assert served.deliver(new_event()).status == 202

    def test_an_unreachable_redis_is_refused_in_time_and_used_again_afterwards(
        self, served: ServerProcess, own_redis: Redis
    ) -> None:
        assert served.deliver(new_event()).status == 202
        own_redis.stop()

        answers = _burst(served, requests=300)

        assert {answer.status for answer in answers} == {503}
        assert max(answer.seconds for answer in answers) < PROMISED_SECONDS
        own_redis.start()
        wait_until(lambda: _everywhere(served, 200))
        assert served.deliver(new_event()).status == 202

    def test_unsafe_settings_are_found_while_running_and_named(
        self, served: ServerProcess, own_redis: Redis
    ) -> None:
        with own_redis.client() as client:
            client.config_set("appendfsync", "everysec")
            wait_until(lambda: _everywhere(served, 503))

            assert served.deliver(new_event()).status == 503
            assert "appendfsync" in str(served.get("/readyz").json()["unsafe"])

            client.config_set("appendfsync", "always")
        wait_until(lambda: _everywhere(served, 200))

    def test_a_redis_almost_full_is_refused_before_it_is_full(
        self, served: ServerProcess, own_redis: Redis
    ) -> None:
        with own_redis.client() as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", used + used // 10)
            wait_until(lambda: _everywhere(served, 503))

            assert served.deliver(new_event()).status == 503


class TestIngestStart:
    def test_without_a_secret_it_does_not_start(self, redis_url: str, tmp_path: Path) -> None:
        code, said = _start(redis_url, tmp_path, STRIPE_WEBHOOK_SECRET="")

        assert code == 2
        assert "STRIPE_WEBHOOK_SECRET" in said

    def test_a_secret_that_no_header_could_match_is_refused(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        code, said = _start(redis_url, tmp_path, STRIPE_WEBHOOK_SECRET="whsec_\u00e9")

        assert code == 2
        assert "STRIPE_WEBHOOK_SECRET" in said

    def test_a_secret_in_quotes_is_refused_and_not_repeated(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        code, said = _start(redis_url, tmp_path, STRIPE_WEBHOOK_SECRET=f'"{SECRET}"')

        assert code == 2
        assert "STRIPE_WEBHOOK_SECRET: secret 1 is in quotes" in said
        assert SECRET not in said

    def test_a_secret_that_stripe_would_not_issue_is_in_the_log_once(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        secret = SECRET.removeprefix("whsec_")
        with serving(redis_url, tmp_path, STRIPE_WEBHOOK_SECRET=secret) as ingest:
            assert ingest.log().count("does not start with whsec_") == 1
            assert secret not in ingest.log()

    def test_on_a_cluster_log_and_probe_say_what_to_use_instead(
        self, cluster_url: str, tmp_path: Path
    ) -> None:
        log = tmp_path / "ingest.log"
        with log.open("w") as stream:
            process = start(cluster_url, tmp_path, stream, PAIDUP_INGEST_PROCESSES="1")
        served = ServerProcess(process, log)
        try:
            wait_until(served.starting)
            wait_until(lambda: _alive(served))
            wait_until(lambda: CLUSTER in served.log())
            ready = served.get("/readyz")
            answer = served.deliver(new_event())

            assert ready.status == 503
            assert ready.json()["unsafe"][0] == CLUSTER
            assert (answer.status, answer.seconds < PROMISED_SECONDS) == (503, True)
        finally:
            served.stop()

    def test_a_probe_says_why_redis_cannot_be_used_and_no_password(
        self, redis_server: Redis, tmp_path: Path
    ) -> None:
        url = redis_server.url.replace("redis://:", "redis://:hunter2")
        log = tmp_path / "ingest.log"
        with log.open("w") as stream:
            process = start(url, tmp_path, stream, PAIDUP_INGEST_PROCESSES="1")
        served = ServerProcess(process, log)
        try:
            wait_until(served.starting)
            wait_until(lambda: _alive(served))
            (reason,) = served.get("/readyz").json()["unsafe"]

            assert "invalid username-password pair" in reason
            assert reason in served.log()
            assert "hunter2" not in served.log()
        finally:
            served.stop()

    def test_an_address_in_use_is_named(self, redis_url: str, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:{1}".format(*taken.getsockname())

            code, said = _start(redis_url, tmp_path, PAIDUP_INGEST_BIND=address)

        assert code == 1
        assert address in said

    def test_it_starts_without_redis_and_takes_events_once_it_is_there(
        self, own_redis: Redis, tmp_path: Path
    ) -> None:
        own_redis.stop()
        log = tmp_path / "ingest.log"
        with log.open("w") as stream:
            process = start(own_redis.url, tmp_path, stream)
        served = ServerProcess(process, log)
        try:
            wait_until(served.starting)
            wait_until(lambda: _alive(served))
            assert served.deliver(new_event()).status == 503

            own_redis.start()
            wait_until(lambda: _everywhere(served, 200))
            assert served.deliver(new_event()).status == 202
        finally:
            assert served.stop() == 0


def _kill_all(served: ServerProcess) -> None:
    """Kill every server process, and wait for a new one."""
    killed = set(served.server_processes())
    for pid in killed:
        kill(pid)
    wait_until(lambda: bool(set(served.server_processes()) - killed))


def _alive(served: ServerProcess) -> bool:
    try:
        return served.get("/healthz").status == 200
    except OSError:
        return False


def _everywhere(served: ServerProcess, status: int) -> bool:
    """Return True if every server process answers with this status: each probes for itself."""
    try:
        return {served.get("/readyz").status for _ in range(20)} == {status}
    except OSError:
        return False


def _burst(served: ServerProcess, *, requests: int) -> list[TimedAnswer]:
    """Send requests from 30 clients at once, within about half a second."""
    with ThreadPoolExecutor(30) as pool:
        return list(pool.map(served.deliver, [new_event() for _ in range(requests)]))


def _start(redis_url: str, folder: Path, **environ: str) -> tuple[int, str]:
    log = folder / "ingest.log"
    with log.open("w") as stream:
        process: subprocess.Popen[str] = start(redis_url, folder, stream, **environ)
    return process.wait(timeout=20), log.read_text()


def _all_of(connection: socket.socket) -> bytes:
    """Read until the other side closes the connection, in any way."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)
