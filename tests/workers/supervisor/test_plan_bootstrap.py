from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from structlog.testing import capture_logs
from structlog.typing import EventDict

from billing.catalogue import read_catalogue
from ops.up.servers.ports import free_port
from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from tests.workers.worker_process import Site, customers, running
from workers.supervisor.plan_bootstrap import REST_SECONDS, FirstPlans

pytestmark = pytest.mark.servers

PLANS = '[plans.premium]\nprices = ["price_1"]\n'


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests", pool_size=8)
    yield engine
    engine.dispose()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    document = tmp_path / "plans.toml"
    document.write_text(PLANS)
    return document


def newest(engine: Engine) -> int | None:
    with engine.connect() as connection:
        return catalogues.newest(connection)


def rounds(plans: FirstPlans, clock: Clock, number: int) -> list[EventDict]:
    with capture_logs() as lines:
        for _ in range(number):
            plans.provide()
            clock.now += REST_SECONDS
    return lines


def test_a_database_without_plans_gets_those_of_the_document(
    engine: Engine, document: Path, clock: Clock
) -> None:
    lines = rounds(FirstPlans(engine, document, clock), clock, 3)

    assert newest(engine) == 1
    assert [line["event"] for line in lines] == ["first plans installed"]
    with engine.connect() as connection:
        query = "SELECT actor, origin, reason FROM audit_logs WHERE action = 'catalogue.applied'"
        ((actor, origin, reason),) = connection.execute(sa.text(query)).all()
    assert str(actor).startswith("worker:")
    assert (origin, reason) == ("worker", "first plans, from plans.toml")


def test_a_document_that_differs_from_the_plans_of_record_changes_nothing(
    engine: Engine, document: Path, clock: Clock
) -> None:
    catalogues.install_first(engine, read_catalogue({}), actor="ada", reason="nothing for sale")

    assert rounds(FirstPlans(engine, document, clock), clock, 2) == []

    with engine.connect() as connection:
        assert catalogues.current(connection).catalogue == read_catalogue({})


def test_of_many_workers_one_installs_them(engine: Engine, document: Path) -> None:
    many = [FirstPlans(engine, document, Clock()) for _ in range(6)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(FirstPlans.provide, many))

    with engine.connect() as connection:
        query = "SELECT count(*) FROM audit_logs WHERE action = 'catalogue.applied'"
        assert connection.scalar(sa.text(query)) == 1


@pytest.mark.parametrize("written", [None, "[plans.x]\nprice = 1", "[plans", "\xff"])
def test_a_document_of_no_use_is_told_once_and_waited_for(
    engine: Engine, document: Path, clock: Clock, written: str | None
) -> None:
    document.unlink()
    if written is not None:
        document.write_bytes(written.encode("latin-1"))
    plans = FirstPlans(engine, document, clock)

    (line,) = rounds(plans, clock, 3)

    assert line["log_level"] == "error"
    assert str(document) in line["why"] or "not usable" in line["why"]
    assert newest(engine) is None
    document.write_text(PLANS)
    rounds(plans, clock, 1)
    assert newest(engine) == 1


def test_between_two_looks_there_is_a_rest(engine: Engine, document: Path, clock: Clock) -> None:
    document.unlink()
    plans = FirstPlans(engine, document, clock)
    plans.provide()
    document.write_text(PLANS)

    plans.provide()
    assert newest(engine) is None


def test_a_database_of_another_release_or_away_is_left_alone(
    postgres_server: Postgres, document: Path, clock: Clock
) -> None:
    url = postgres_server.create_database("without_schema")
    for each in (url, f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere"):
        engine = engine_for(each, application_name="tests")
        assert rounds(FirstPlans(engine, document, clock), clock, 2) == []
        engine.dispose()
    postgres_server.drop_database("without_schema")


def test_a_worker_brings_the_first_plans_and_applies_what_came_before_them(
    database: str, redis_url: str, tmp_path: Path, document: Path
) -> None:
    site = Site(database, redis_url, tmp_path / "worker.log")
    try:
        with running(site, PAIDUP_PLANS=str(document)) as worker:
            worker.until_ready()
            ids = site.accept(customers(range(1)))
            site.until_drained()
        site.assert_each_applied_once(ids)
        assert newest(site.engine) == 1
    finally:
        site.close()
