import pytest

from ops.doctor.check_standby import check_standby
from ops.doctor.findings import Finding, State
from ops.up.servers.postgres_server import ROLE
from runtime.database.engine import engine_for
from tests.postgres_pair import PostgresPair, ask

pytestmark = pytest.mark.servers


def found(url: str) -> list[Finding]:
    engine = engine_for(url, application_name="tests")
    with engine.connect() as connection:
        findings = list(check_standby(connection))
    engine.dispose()
    return findings


def test_an_asynchronous_standby_is_named_with_what_to_do(asynchronous_pair: PostgresPair) -> None:
    hidden = found(asynchronous_pair.url)
    ask(asynchronous_pair.primary, f"GRANT pg_monitor TO {ROLE}")
    (finding,) = found(asynchronous_pair.url)

    assert finding.state is State.WARNING
    assert finding.says.startswith("paidup is asynchronous")
    assert "synchronous_standby_names" in finding.says
    assert [each.state for each in hidden] == [State.WARNING]
    assert "pg_monitor" in hidden[0].says


def test_a_synchronous_standby_is_in_order(synchronous_pair: PostgresPair) -> None:
    ask(synchronous_pair.primary, f"GRANT pg_monitor TO {ROLE}")

    assert [each.state for each in found(synchronous_pair.url)] == [State.OK]


def test_a_primary_without_a_standby_has_nothing_to_say(database: str) -> None:
    assert found(database) == []
