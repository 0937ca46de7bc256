"""The real console with a real PostgreSQL that is killed, frozen or missing during requests."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from ops.console_tokens import generate_token
from ops.up.servers.postgres_server import Postgres
from runtime.changes.numbering import number_waiting
from runtime.database.engine import engine_for
from runtime.schema import downgrade, upgrade
from runtime.time_limits import SERVER_STOP_SECONDS
from tests.ingest.ingest_process import TimedAnswer, wait_until
from tests.killing import kill
from tests.ops.console.console_process import TOKEN, ServedConsole, answering, serving, start
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.changes.change_builders import changed

pytestmark = pytest.mark.servers

PROBED_AT = (
    "SELECT max(query_start) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'paidup console probe'"
)
LONGEST_SECONDS = 3.5
"""Seconds: a wait for an answer, one for a connection, and the delay of a busy machine."""


@pytest.fixture
def served(books: SeededDatabase, tmp_path: Path) -> Iterator[ServedConsole]:
    with serving(books.url, tmp_path) as console:
        yield console


class TestServedConsole:
    def test_an_application_reads_and_asks_whether_it_still_holds(
        self, served: ServedConsole, books: SeededDatabase
    ) -> None:
        lifecycle = books.tell("first_paid")

        answer = served.read()
        again = served.read(**{"If-None-Match": answer.headers["etag"]})

        assert answer.status == 200
        assert answer.json()["features"] == lifecycle.expected.features
        assert (again.status, again.body) == (304, b"")
        assert not served.read("usr_2").json()["known"]
        assert served.read(token="wrong").status == 401
        assert served.count('billing_reads_total{result="found"}') == 1

        books.tell("refund_full", seed="another")
        changed = served.read(**{"If-None-Match": answer.headers["etag"]})
        assert changed.status == 200
        assert len(changed.json()["grants"]) == 2

    def test_a_probe_that_succeeds_is_not_logged_and_one_that_fails_is(
        self, served: ServedConsole, books: SeededDatabase
    ) -> None:
        started = served.log()
        times = set[object]()

        def probed_again() -> bool:
            served.get("/readyz")
            with books.engine.connect() as connection:
                times.add(connection.scalar(text(PROBED_AT)))
            return len(times) > 3

        wait_until(probed_again)
        assert served.log() == started

        with books.engine.begin() as connection:
            connection.execute(text("UPDATE schema_release SET oldest_release = '99.0.0'"))
        wait_until(lambda: served.get("/readyz").status == 503)
        said = served.log().removeprefix(started)
        assert said.count("\n") == 1
        assert "circuit breaker opened" in said
        assert "needs Paidup 99.0.0" in said

    @pytest.mark.parametrize(
        "user_id",
        ["a%2Fb", "%2e%2e%2f", "%00", "%ff", "%C3%AB", "x" * 10_000, "%25", "%20", "a%3Fb%23c"],
    )
    def test_no_user_id_is_a_server_error(self, served: ServedConsole, user_id: str) -> None:
        assert served.read(user_id).status == 200

    def test_the_bytes_of_a_path_reach_the_database_as_they_are(
        self, served: ServedConsole, books: SeededDatabase
    ) -> None:
        books.tell("first_paid", user="a/b ë%")

        assert served.read("a%2Fb%20%C3%AB%25").json()["user_id"] == "a/b ë%"

    def test_what_is_no_request_is_no_server_error(self, served: ServedConsole) -> None:
        for garbage in (
            b"GET /v1/users/" + b"a" * 200_000 + b"/entitlements HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v1/users/u/entitlements HTTP/1.1\r\nAuthorization: \xff\xfe\r\n\r\n",
            b"\x16\x03\x01\x00\xff" * 20,
        ):
            with served.connect() as connection, suppress(OSError):
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                assert b" 500 " not in connection.recv(1000)
        assert not served.read("usr_2").json()["known"]

    @pytest.mark.slow
    def test_a_connection_may_rest_for_longer_than_a_strangers(self, served: ServedConsole) -> None:
        with served.connect() as used, served.connect() as fresh:
            for connection, pause in ((used, 15), (used, 0), (fresh, 0)):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while b"alive" not in answer:
                    answer += (part := connection.recv(1000))
                    assert part, "it was closed"
                time.sleep(pause)

    def test_hashed_tokens_from_a_file_let_in(self, books: SeededDatabase, tmp_path: Path) -> None:
        drawn = generate_token("app")
        file = tmp_path / "tokens"
        file.write_text(f"{drawn.entry}\n")

        with serving(books.url, tmp_path, PAIDUP_CONSOLE_TOKENS_FILE=str(file)) as served:
            assert served.read(token=drawn.token).status == 200

    def test_the_rate_is_one_for_all_threads(self, books: SeededDatabase, tmp_path: Path) -> None:
        with (
            serving(books.url, tmp_path, PAIDUP_CONSOLE_RATE="20") as served,
            ThreadPoolExecutor(10) as pool,
        ):
            answers = list(pool.map(lambda _: served.read("usr_2"), range(200)))

        refused = [answer for answer in answers if answer.status == 429]
        assert {answer.status for answer in answers} == {200, 429}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert len(refused) > 50


class TestServedChanges:
    def test_a_client_waits_for_the_next_change_and_hears_it(
        self, served: ServedConsole, books: SeededDatabase
    ) -> None:
        with ThreadPoolExecutor(2) as pool:
            waits = [pool.submit(served.read_path, "/v1/changes?after=0&wait=25") for _ in range(2)]
            wait_until(lambda: _watched(books))
            assert not any(wait.done() for wait in waits)
            changed(books.engine, "usr_1")
            number_waiting(books.engine)
            answers = [wait.result(timeout=20) for wait in waits]

        for answer in answers:
            assert answer.status == 200
            assert [each["user_id"] for each in answer.json()["changes"]] == ["usr_1"]
            assert answer.json()["cursor"] == 1

    def test_a_burst_of_changes_for_as_many_as_may_wait_leaves_entitlements_readable(
        self, served: ServedConsole, books: SeededDatabase
    ) -> None:
        path = "/v1/changes?after=0&wait=25&limit=1000"
        with ThreadPoolExecutor(257) as pool:
            waits = [pool.submit(served.read_path, path) for _ in range(257)]
            # The one too many is refused once all the others wait.
            wait_until(lambda: any(wait.done() for wait in waits))
            changed(books.engine, *(f"usr_{number}" for number in range(1000)))
            number_waiting(books.engine)
            meanwhile = [served.read().status for _ in range(20)]
            answers = [wait.result(timeout=60) for wait in waits]

        assert sorted(answer.status for answer in answers) == [200] * 256 + [429]
        heard = [answer.json() for answer in answers if answer.status == 200]
        assert all(page["changes"] for page in heard)
        assert set(meanwhile) == {200}
        assert "circuit breaker opened" not in served.log()

    def test_a_stop_ends_a_wait_at_once(self, served: ServedConsole, books: SeededDatabase) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(served.read_path, "/v1/changes?after=0&wait=25")
            wait_until(lambda: _watched(books))

            assert served.stop() == 0
            answer = waiting.result(timeout=20)

        assert (answer.status, answer.json()["changes"]) == (200, [])
        assert answer.seconds < SERVER_STOP_SECONDS

    @pytest.mark.slow
    def test_a_client_that_waits_is_not_closed_as_one_that_stalls(
        self, served: ServedConsole
    ) -> None:
        head = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        with served.connect() as connection:
            for path, word in (("/healthz", b"alive"), ("/v1/changes?after=0&wait=12", b"cursor")):
                connection.sendall(f"GET {path}{head}".encode())
                answer = b""
                while word not in answer:
                    answer += (part := connection.recv(1000))
                    assert part, "it was closed"
                time.sleep(0.1)  # so that the kernel sees that the next request came later

    def test_users_and_customers_are_read_by_query(
        self, served: ServedConsole, books: SeededDatabase
    ) -> None:
        lifecycle = books.tell("first_paid")
        with books.engine.connect() as connection:
            customer = connection.scalar(text("SELECT stripe_customer_id FROM customers"))

        many = served.read_path("/v1/entitlements?user_id=usr_9&user_id=usr_1").json()
        its = served.read_path(f"/v1/entitlements?customer={customer}").json()

        features = [each["features"] for each in many["entitlements"]]
        assert features == [{}, lifecycle.expected.features]
        assert its["entitlements"] == many["entitlements"][1:]
        assert served.read_path("/v1/entitlements").status == 400


def _watched(books: SeededDatabase) -> bool:
    """Return whether the console reads the newest cursor for requests that wait."""
    with books.engine.connect() as connection:
        return bool(
            connection.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'paidup console changes'"
                )
            )
        )


class TestFrozenOrStoppedDatabase:
    @pytest.fixture
    def served(self, own_postgres: Postgres, tmp_path: Path) -> Iterator[ServedConsole]:
        _migrate(own_postgres.url)
        with serving(own_postgres.url, tmp_path) as console:
            yield console

    def test_a_frozen_database_is_a_refusal_in_time_and_is_used_again_after(
        self, served: ServedConsole, own_postgres: Postgres
    ) -> None:
        assert served.read().status == 200
        own_postgres.freeze()
        try:
            answers = _burst(served, requests=200)
        finally:
            own_postgres.thaw()

        assert {answer.status for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"5"}
        assert max(answer.seconds for answer in answers) < LONGEST_SECONDS
        wait_until(served.ready)
        assert served.read().status == 200

    def test_a_database_that_is_down_is_a_refusal_in_time_and_is_found_again(
        self, served: ServedConsole, own_postgres: Postgres
    ) -> None:
        assert served.read().status == 200
        own_postgres.stop()

        answers = _burst(served, requests=200)

        assert {answer.status for answer in answers} == {503}
        assert max(answer.seconds for answer in answers) < LONGEST_SECONDS
        assert served.get("/healthz").status == 200
        assert served.get("/readyz").status == 503
        own_postgres.start()
        wait_until(served.ready)
        assert served.read().status == 200

    def test_a_schema_that_goes_away_is_named_and_found_again(
        self, served: ServedConsole, own_postgres: Postgres
    ) -> None:
        engine = engine_for(own_postgres.url, application_name="tests")
        downgrade(engine)
        wait_until(lambda: not served.ready())

        assert served.read().status == 503
        assert "paidup migrate" in str(served.get("/readyz").json()["unsafe"])

        upgrade(engine)
        engine.dispose()
        wait_until(served.ready)
        assert served.read().status == 200


class TestConsoleStart:
    def test_it_starts_before_its_database_and_answers_once_that_is_there(
        self, own_postgres: Postgres, tmp_path: Path
    ) -> None:
        _migrate(own_postgres.url)
        own_postgres.stop()

        with answering(own_postgres.url, tmp_path) as served:
            assert served.read().status == 503
            own_postgres.start()
            wait_until(served.ready)
            assert served.read().status == 200

    def test_a_killed_process_is_replaced(self, served: ServedConsole) -> None:
        (killed,) = served.server_processes()
        assert kill(killed)

        wait_until(lambda: served.server_processes() not in ([killed], []))
        wait_until(served.ready)
        assert not served.read("usr_2").json()["known"]

    def test_it_stops_when_asked(self, served: ServedConsole) -> None:
        assert served.stop() == 0

    def test_without_tokens_it_says_so_and_refuses_every_read(
        self, books: SeededDatabase, tmp_path: Path
    ) -> None:
        with serving(books.url, tmp_path, PAIDUP_CONSOLE_TOKENS="") as served:
            assert served.read().status == 401
            assert "every read is refused" in served.log()

    @pytest.mark.parametrize(
        ("environ", "word"),
        [
            ({"DATABASE_URL": ""}, "DATABASE_URL"),
            ({"PAIDUP_CONSOLE_TOKENS": "two words"}, "PAIDUP_CONSOLE_TOKENS: entry 1"),
            ({"PAIDUP_CONSOLE_RATE": "0"}, "PAIDUP_CONSOLE_RATE"),
        ],
    )
    def test_what_is_set_up_wrong_is_named(
        self, tmp_path: Path, environ: dict[str, str], word: str
    ) -> None:
        log = tmp_path / "log"
        with log.open("w") as stream:
            process = start("postgresql://nowhere/x", tmp_path, stream, **environ)

        assert process.wait(timeout=20) == 2
        assert word in log.read_text()
        assert "Traceback" not in log.read_text()


def _migrate(url: str) -> None:
    engine = engine_for(url, application_name="tests")
    upgrade(engine)
    engine.dispose()


def _burst(served: ServedConsole, *, requests: int) -> list[TimedAnswer]:
    """Send requests from 20 clients at once."""
    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(lambda _: served.read(), range(requests)))
