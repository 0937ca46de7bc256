"""Run the application of docs/idempotency.md as another one beside Paidup, and kill it.

It is started by a wrapper, which can build one fault into it, and imports Paidup as from the wheel:
by the one name ``paidup``, while ``models`` is a module of its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import psycopg
import pytest

from ops.up.servers.postgres_server import Postgres
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "idempotency.md").read_text()

WRAPPER = """
import os, signal, sys
import models
assert models.OF_THE_SHOP
import shop
from prometheus_client import generate_latest
from sqlalchemy import event
from werkzeug.serving import make_server

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

shop.app.get("/metrics")(generate_latest)
if sys.argv[1] == "before-commit":
    event.listen(shop.engine, "commit", die)
if sys.argv[1] == "before-answer":
    shop.app.after_request(die)
assert not {"redis", "celery", "runtime", "billing"} & set(sys.modules)
server = make_server("127.0.0.1", 0, shop.app, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


class ShopAnswer(NamedTuple):
    """The answer to an order."""

    status: int
    body: dict[str, object]
    replayed: str | None


class ServedShop:
    """The running application."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self._port = port

    def order(self, key: str | None, item: str = "book") -> ShopAnswer:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            connection.request("POST", "/orders", json.dumps({"item": item}), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        return ShopAnswer(answer.status, body, answer.getheader("Idempotent-Replayed"))

    def hits(self) -> float | None:
        """Return how many repeated orders it counted, None before the first one."""
        with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
            page = answer.read().decode()
        series = r'^idempotent_hits_total\{operation="orders.place"\} (\S+)$'
        found = re.search(series, page, re.MULTILINE)
        return float(found[1]) if found else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the application, its own ``models``, and Paidup as the wheel has it."""
    (program,) = re.findall(r"^```python\n(# shop.py:.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "shop.py").write_text(program)
    (tmp_path / "models.py").write_text("OF_THE_SHOP = True\n")
    (tmp_path / "paidup").mkdir()
    (tmp_path / "paidup" / "__init__.py").symlink_to(ROOT / "paidup" / "__init__.py")
    (tmp_path / "paidup" / "runtime").symlink_to(ROOT / "runtime")
    return tmp_path


@pytest.fixture
def database_url(postgres_server: Postgres) -> Iterator[str]:
    """Yield the URL of a database of the shop alone, without Paidup's tables."""
    yield postgres_server.create_database("shop")
    postgres_server.drop_database("shop")


@contextmanager
def serving(folder: Path, database_url: str, fault: str = "none") -> Iterator[ServedShop]:
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    environ = {**os.environ, "PYTHONPATH": str(folder), "SHOP_DATABASE_URL": url}
    with (folder / "shop.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", WRAPPER, fault],
            env=environ,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        port = process.stdout.readline()
        assert port, (folder / "shop.log").read_text()
        yield ServedShop(process, int(port))
    finally:
        process.kill()
        process.communicate()


def ordered(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        return [item for (item,) in connection.execute("select item from orders order by id")]


def test_a_repeated_order_gets_the_answer_of_the_first(folder: Path, database_url: str) -> None:
    with serving(folder, database_url) as shop:
        first, again, quoted = shop.order("k"), shop.order("k"), shop.order('"k"')
        other = shop.order("k2")

    assert first == (201, {"order": 1, "item": "book"}, "false")
    assert again == quoted == (201, {"order": 1, "item": "book"}, "true")
    assert other.body["order"] == 2
    assert ordered(database_url) == ["book", "book"]


def test_repeated_orders_are_counted_and_new_ones_are_not(folder: Path, database_url: str) -> None:
    with serving(folder, database_url) as shop:
        for key in ("k", "k2"):
            shop.order(key)
        before = shop.hits()
        for _ in range(3):
            shop.order("k")
        shop.order("k", "pen")
        assert (before, shop.hits()) == (None, 3)


def test_an_expired_key_takes_a_new_order(folder: Path, database_url: str) -> None:
    with serving(folder, database_url) as shop:
        shop.order("k")
        with psycopg.connect(database_url) as connection:
            connection.execute("update idempotency_keys set expires_at = now()")
        other, again = shop.order("k", "pen"), shop.order("k", "pen")

    assert (other.body["item"], other.replayed) == ("pen", "false")
    assert (again.body, again.replayed) == (other.body, "true")
    assert ordered(database_url) == ["book", "pen"]


def test_what_cannot_be_carried_out_is_said_with_the_statuses_of_the_page(
    folder: Path, database_url: str
) -> None:
    with serving(folder, database_url) as shop:
        shop.order("k")
        answers = [shop.order("k", "pen"), shop.order("two words"), shop.order(None)]

    assert [answer.status for answer in answers] == [422, 400, 400]
    assert ordered(database_url) == ["book"]


def test_an_order_that_died_before_its_commit_is_carried_out_by_the_retry(
    folder: Path, database_url: str
) -> None:
    with serving(folder, database_url, "before-commit") as shop:
        killed(shop, database_url)

    before = ordered(database_url)
    with serving(folder, database_url) as shop:
        retried, again = shop.order("k"), shop.order("k")

    assert before == []
    assert (retried.status, retried.replayed) == (201, "false")
    assert (again.body, again.replayed) == (retried.body, "true")
    assert ordered(database_url) == ["book"]


def test_an_order_that_died_before_its_answer_is_answered_by_the_retry(
    folder: Path, database_url: str
) -> None:
    with serving(folder, database_url, "before-answer") as shop:
        killed(shop, database_url)

    before = ordered(database_url)
    with serving(folder, database_url) as shop:
        retried = shop.order("k")

    assert before == ["book"]
    assert retried == (201, {"order": 1, "item": "book"}, "true")
    assert ordered(database_url) == ["book"]


def killed(shop: ServedShop, database_url: str) -> None:
    """Send an order that kills the application; PostgreSQL knows it when this returns."""
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        shop.order("k")
    assert shop.process.wait(30) == -signal.SIGKILL
    until(lambda: sessions(database_url) == 1, why="only this session is left")


def sessions(database_url: str) -> int:
    query = "select count(*) from pg_stat_activity where datname = current_database()"
    with psycopg.connect(database_url) as connection:
        (count,) = connection.execute(query).fetchone() or (0,)
    return int(count)


def test_an_order_in_flight_is_reported_at_once_and_not_carried_out_twice(
    folder: Path, database_url: str
) -> None:
    with (
        serving(folder, database_url) as shop,
        ThreadPoolExecutor() as threads,
        psycopg.connect(database_url) as other,
    ):
        other.execute("lock table orders")
        first = threads.submit(shop.order, "k")
        until(lambda: waits_for_table(database_url))
        meanwhile, another = shop.order("k"), threads.submit(shop.order, "k2", "pen")
        finished_before = first.done()
        other.commit()
        first.result()
        afterwards = shop.order("k")
        assert another.result().status == 201

    assert meanwhile.status == 409
    assert not finished_before
    assert (first.result().status, first.result().replayed) == (201, "false")
    assert (afterwards.body, afterwards.replayed) == (first.result().body, "true")
    assert sorted(ordered(database_url)) == ["book", "pen"]


def waits_for_table(database_url: str) -> bool:
    query = (
        "select exists (select from pg_locks where relation = 'orders'::regclass and not granted)"
    )
    with psycopg.connect(database_url) as connection:
        return connection.execute(query).fetchone() == (True,)
