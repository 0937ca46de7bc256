from collections.abc import Sequence

import pytest

from billing.catalogue import read_catalogue
from ops.doctor.check_pooler import check_pooler
from ops.doctor.check_postgres import check_postgres
from ops.doctor.findings import Finding, State
from runtime.database.engine import engine_for
from runtime.ledger.catalogues import install_first
from runtime.settings import Settings
from tests.pgbouncer import PgBouncer

pytestmark = pytest.mark.servers


def settings(url: str, owner: str | None = None) -> Settings:
    owned = {"PAIDUP_OWNER_DATABASE_URL": owner} if owner else {}
    return Settings.from_env({"DATABASE_URL": url, **owned})


def brief(findings: Sequence[Finding]) -> list[tuple[State, bool]]:
    return [(each.state, "PAIDUP_OWNER_DATABASE_URL" in each.says) for each in findings]


def test_a_pooler_is_named_and_no_problem(database: str, pooler: PgBouncer) -> None:
    engine = engine_for(database, application_name="tests")
    install_first(engine, read_catalogue({}), actor="tests", reason="tests")
    engine.dispose()

    found = list(check_postgres(settings(pooler.url_of(database))))

    (named,) = [each for each in found if each.check == "connection pooler"]
    assert brief([named]) == [(State.OK, True)]
    assert [each for each in found if each.state is State.PROBLEM] == []


def test_the_server_itself_is_no_pooler(database: str) -> None:
    checks = {each.check for each in check_postgres(settings(database))}

    assert "connection pooler" not in checks


def test_the_way_of_a_migration_is_checked(database: str, pooler: PgBouncer) -> None:
    through = pooler.url_of(database)

    def found(owner: str) -> list[tuple[State, bool]]:
        return brief(list(check_pooler(settings(through, owner))))

    assert found(database) == [(State.OK, False)]
    assert found(f"{through}?sslmode=prefer") == [(State.OK, False), (State.PROBLEM, True)]
    assert found("postgresql://127.0.0.1:1/none") == [(State.OK, False), (State.PROBLEM, True)]
