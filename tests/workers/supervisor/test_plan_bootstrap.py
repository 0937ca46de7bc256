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
from runtime.time_limits import FIRST_PLANS_SECONDS
from tests.workers.fakes import ManualClock
from tests.workers.worker_process import WorkerSite, customers, running
from workers.supervisor.plan_bootstrap import PlanBootstrap

pytestmark = pytest.mark.servers

PLANS = '[plans.premium]\nprices = ["price_1"]\n'


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


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
        return catalogues.newest_version(connection)


def run(plans: PlanBootstrap, clock: ManualClock, number: int) -> list[EventDict]:
    with capture_logs() as lines:
        for _ in range(number):
            plans.provide()
            clock.now += FIRST_PLANS_SECONDS
    return lines


def test_a_database_without_plans_gets_the_plans_file(
    engine: Engine, document: Path, clock: ManualClock
) -> None:
    lines = run(PlanBootstrap(engine, document, clock), clock, 3)

    assert newest(engine) == 1
    assert [line["event"] for line in lines] == ["first plans installed"]
    with engine.connect() as connection:
        query = "SELECT actor, origin, reason FROM audit_logs WHERE action = 'catalogue.applied'"
        ((actor, origin, reason),) = connection.execute(sa.text(query)).all()
    assert str(actor).startswith("worker:")
    assert (origin, reason) == ("worker", "first plans, from plans.toml")


def test_a_document_that_differs_from_the_plans_of_record_changes_nothing(
    engine: Engine, document: Path, clock: ManualClock
) -> None:
    catalogues.install_first(engine, read_catalogue({}), actor="ada", reason="nothing for sale")

    assert run(PlanBootstrap(engine, document, clock), clock, 2) == []

    with engine.connect() as connection:
        assert catalogues.current_catalogue(connection).catalogue == read_catalogue({})


def test_of_many_workers_one_installs_them(engine: Engine, document: Path) -> None:
    many = [PlanBootstrap(engine, document, ManualClock()) for _ in range(6)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(PlanBootstrap.provide, many))

    with engine.connect() as connection:
        query = "SELECT count(*) FROM audit_logs WHERE action = 'catalogue.applied'"
        assert connection.scalar(sa.text(query)) == 1


@pytest.mark.parametrize("written", [None, "[plans.x]\nprice = 1", "[plans", "\xff"])
def test_an_unusable_document_is_reported_once_and_waited_for(
    engine: Engine, document: Path, clock: ManualClock, written: str | None
) -> None:
    document.unlink()
    if written is not None:
        document.write_bytes(written.encode("latin-1"))
    plans = PlanBootstrap(engine, document, clock)

    (line,) = run(plans, clock, 3)

    assert line["log_level"] == "error"
    assert str(document) in line["why"] or "not usable" in line["why"]
    assert newest(engine) is None
    document.write_text(PLANS)
    run(plans, clock, 1)
    assert newest(engine) == 1


def test_the_document_is_not_read_again_at_once(
    engine: Engine, document: Path, clock: ManualClock
) -> None:
    document.unlink()
    plans = PlanBootstrap(engine, document, clock)
    plans.provide()
    document.write_text(PLANS)

    plans.provide()
    assert newest(engine) is None


def test_a_database_of_another_release_or_unreachable_is_left_alone(
    postgres_server: Postgres, document: Path, clock: ManualClock
) -> None:
    url = postgres_server.create_database("without_schema")
    for each in (url, f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere"):
        engine = engine_for(each, application_name="tests")
        assert run(PlanBootstrap(engine, document, clock), clock, 2) == []
        engine.dispose()
    postgres_server.drop_database("without_schema")


def test_a_worker_brings_the_first_plans_and_applies_what_came_before_them(
    database: str, redis_url: str, tmp_path: Path, document: Path
) -> None:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    try:
        with running(site, PAIDUP_PLANS=str(document)) as worker:
            worker.until_ready()
            ids = site.accept(customers(range(1)))
            site.until_drained()
        site.assert_each_applied_once(ids)
        assert newest(site.engine) == 1
    finally:
        site.close()
