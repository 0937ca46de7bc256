import socket
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.database.first_host import first_connection, hosts_of


class OpenedConnection:
    """A connection without a server, which knows whether it was closed."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def close(self) -> None:
        """Be closed from now on."""
        self.ended.set()


def _addresses(conninfo: str) -> list[tuple[object, ...]]:
    split = [conninfo_to_dict(each) for each in hosts_of(conninfo)]
    # libpq takes an empty port for the usual one.
    return [(each.get("host"), each.get("hostaddr"), each.get("port") or None) for each in split]


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("postgresql://a,b/db", [("a", None, None), ("b", None, None)]),
        ("postgresql://a:1,b:2/db", [("a", None, "1"), ("b", None, "2")]),
        ("postgresql:///db?host=a,b&port=5", [("a", None, "5"), ("b", None, "5")]),
        ("postgresql:///db?host=/run/a,/run/b", [("/run/a", None, None), ("/run/b", None, None)]),
        (
            "postgresql:///db?host=a,b&hostaddr=127.0.0.1,127.0.0.2",
            [("a", "127.0.0.1", None), ("b", "127.0.0.2", None)],
        ),
        (
            "postgresql:///db?hostaddr=127.0.0.1,127.0.0.2",
            [(None, "127.0.0.1", None), (None, "127.0.0.2", None)],
        ),
    ],
)
def test_each_host_is_tried_with_its_own_address_and_port(
    url: str, addresses: list[tuple[object, ...]]
) -> None:
    assert _addresses(url) == addresses


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:1/db",
        "postgresql:///db",
        "postgresql:///db?service=paidup",
        "postgresql:///db?host=a,b,c&port=1,2",
    ],
    ids=["one host", "no host", "service file", "a mistake"],
)
def test_everything_else_is_left_to_libpq(url: str) -> None:
    assert hosts_of(url) == [url]


def test_what_the_url_says_besides_holds_for_each_host() -> None:
    url = "postgresql://u:p%40ss@a,b/db?target_session_attrs=read-write&sslmode=require"

    each = [conninfo_to_dict(host) for host in hosts_of(url)]

    assert {name: value for name, value in each[0].items() if name not in {"host", "port"}} == {
        "user": "u",
        "password": "p@ss",
        "dbname": "db",
        "target_session_attrs": "read-write",
        "sslmode": "require",
    }
    assert each[0] | {"host": "b"} == each[1]


def test_hosts_are_shuffled_where_the_url_asks_for_it() -> None:
    url = "postgresql://a,b,c/db?load_balance_hosts=random"

    orders = {tuple(host for host, _, _ in _addresses(url)) for _ in range(200)}

    assert len(orders) > 1
    assert {tuple(sorted(str(host) for host in order)) for order in orders} == {("a", "b", "c")}


def test_a_url_that_libpq_cannot_read_is_refused_when_a_connection_is_opened() -> None:
    engine = engine_for("postgresql://u:p%zz@a,b/db", application_name="paidup test")

    with pytest.raises(ProgrammingError):
        engine.connect()


def test_the_first_host_gets_the_connection_if_it_answers() -> None:
    tried: list[str] = []

    def attempt(name: str) -> Callable[[], OpenedConnection]:
        def connect() -> OpenedConnection:
            tried.append(name)
            return OpenedConnection()

        return connect

    first_connection([attempt("a"), attempt("b")])

    assert tried == ["a"]


def test_a_host_that_fails_gives_way_at_once() -> None:
    opened = OpenedConnection()

    def fail() -> OpenedConnection:
        raise psycopg.OperationalError("session is read-only")

    assert first_connection([fail, lambda: opened]) is opened


def test_a_silent_host_does_not_hold_up_the_next_and_is_closed_if_it_answers_late() -> None:
    answers = threading.Event()
    late, opened = OpenedConnection(), OpenedConnection()

    def silent() -> OpenedConnection:
        assert answers.wait(30)
        return late

    assert first_connection([silent, lambda: opened]) is opened
    assert not late.ended.is_set()
    answers.set()

    assert late.ended.wait(30)
    assert not opened.ended.is_set()


def test_a_slow_host_is_waited_for_if_the_others_fail() -> None:
    failed = threading.Event()
    opened = OpenedConnection()

    def slow() -> OpenedConnection:
        assert failed.wait(30)
        return opened

    def fail() -> OpenedConnection:
        failed.set()
        raise psycopg.OperationalError("session is read-only")

    assert first_connection([slow, fail]) is opened


def test_the_error_names_what_each_host_answered() -> None:
    def refuse() -> OpenedConnection:
        raise psycopg.OperationalError("connection refused")

    def time_out() -> OpenedConnection:
        raise psycopg.errors.ConnectionTimeout("connection timeout expired")

    with pytest.raises(psycopg.errors.ConnectionTimeout) as failed:
        first_connection([refuse, time_out])

    assert "connection refused" in str(failed.value)
    assert "connection timeout expired" in str(failed.value)


def test_another_error_reaches_the_caller_as_it_is() -> None:
    def refuse() -> OpenedConnection:
        raise psycopg.OperationalError("connection refused")

    def break_down() -> OpenedConnection:
        raise UnicodeError("label too long")

    with pytest.raises(UnicodeError, match="label too long"):
        first_connection([refuse, break_down])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """The port of a server that is frozen: its kernel accepts connections, and it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.servers
def test_a_frozen_first_host_is_passed_by(
    postgres_server: Postgres, database: str, silent_port: int
) -> None:
    begin, _, server = database.rpartition("@")
    engine = engine_for(f"{begin}@127.0.0.1:{silent_port},{server}", application_name="paidup test")

    with engine.connect() as connection:
        port = connection.scalar(text("SHOW port"))
    engine.dispose()

    assert port == str(postgres_server.port)
