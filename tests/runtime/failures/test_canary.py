"""The canary on a real PostgreSQL: what every event meets, what only some events meet."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, func, select, text

from billing.catalogue import read_catalogue
from models.tables import metadata
from runtime.database.engine import engine_for
from runtime.failures.canary import (
    FAILS_AS_WELL,
    BuiltInPlans,
    Canary,
    built_in_events,
    concerns_every_event,
    sqlstate_in,
)
from runtime.failures.classify import Failure, Permanent, Unexpected
from runtime.ledger.catalogues import LOCK, install_first
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import delivery

pytestmark = pytest.mark.servers

WRITTEN = {
    "audit_logs",
    "customers",
    "facts",
    "memberships",
    "parties",
    "payment_events",
    "payments",
    "purchases",
    "search_terms",
    "stripe_events",
    "subscriptions",
    "user_entitlements",
    "user_versions",
    "waiting_changes",
}


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    install_first(engine, read_catalogue({}), actor="tests", reason="tests")
    yield engine
    engine.dispose()


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
        }


def failing(error_type: str) -> list[Failure]:
    return [Unexpected(error_type=error_type, reason="it failed")]


def break_for(engine: Engine, table: str, condition: str) -> None:
    """Let each INSERT of a row fail for which ``condition`` is true."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN RAISE EXCEPTION ''the house rule'' USING ERRCODE = ''23514''; END'"
            )
        )
        connection.execute(
            text(
                f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW"
                f" WHEN ({condition}) EXECUTE FUNCTION refuse()"
            )
        )


REFUSED = [Permanent(error_type="CheckViolation (23514)", reason="refused", by_server=True)]
NO_RIGHT = failing("InsufficientPrivilege (42501)")


def test_built_in_events_pass_and_leave_no_row(engine: Engine) -> None:
    before = counts(engine)
    canary = Canary(engine)

    assert canary.fault(of_surroundings=True) is None
    assert canary.fault_alike(failing("UndefinedColumn (42703)")) is None
    assert counts(engine) == before


def test_built_in_events_need_every_table_that_events_write(engine: Engine) -> None:
    before = counts(engine)

    # With other plans its events grant nothing.
    ledger = Ledger(engine, livemode="any", accounts=frozenset(), catalogues=BuiltInPlans())
    ledger.record([delivery(body) for body in built_in_events()])

    after = counts(engine)
    assert {name for name in after if after[name] > before[name]} == WRITTEN


def test_a_column_that_is_gone_is_a_fault_of_the_surroundings(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_logs RENAME COLUMN origin TO came_from"))

    fault = Canary(engine).fault_alike(failing("UndefinedColumn (42703)"))

    assert fault is not None
    assert fault.reason.startswith(FAILS_AS_WELL)
    assert 'column "origin" of relation "audit_logs" does not exist' in fault.reason
    assert concerns_every_event(fault.reason)
    assert sqlstate_in(fault.reason) == "42703"
    assert Canary(engine).fault(of_surroundings=True) is not None


@pytest.mark.parametrize("kind", ["email", "name", "metadata"])
def test_search_terms_that_no_event_can_write_are_a_fault_of_the_surroundings(
    engine: Engine, kind: str
) -> None:
    break_for(engine, "search_terms", f"NEW.kind = '{kind}'")

    fault = Canary(engine).fault_alike(REFUSED)

    assert fault is not None
    assert concerns_every_event(fault.reason)


def test_an_exhausted_sequence_is_a_fault_of_the_surroundings(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE stripe_events ALTER COLUMN settlement SET MAXVALUE 2 RESTART 2")
        )
        connection.execute(
            text("SELECT nextval(pg_get_serial_sequence('stripe_events', 'settlement'))")
        )
    error_type = "SequenceGeneratorLimitExceeded (2200H)"

    fault = Canary(engine).fault_alike(
        [Permanent(error_type=error_type, reason="", by_server=True)]
    )

    assert fault is not None
    assert fault.error_type == error_type


@pytest.mark.parametrize(
    ("table", "condition"),
    [
        ("stripe_events", "NEW.type LIKE 'customer.%'"),
        ("stripe_events", "NEW.type = 'payment_intent.succeeded'"),
        ("payments", "true"),
        ("user_entitlements", "true"),
    ],
)
def test_what_some_events_meet_is_no_fault_of_the_surroundings(
    engine: Engine, table: str, condition: str
) -> None:
    break_for(engine, table, condition)

    assert Canary(engine).fault_alike(REFUSED) is None
    assert Canary(engine).fault(of_surroundings=True) is None


def test_what_all_events_meet_is_one(engine: Engine) -> None:
    break_for(engine, "stripe_events", "true")

    assert Canary(engine).fault_alike(REFUSED) is not None
    assert Canary(engine).fault_alike(failing("KeyError")) is None, (
        "the event's own fault beside it"
    )
    assert Canary(engine).fault(of_surroundings=False) is None, "the server takes writes"


def test_a_built_in_event_that_meets_a_lock_proves_no_fault_of_an_event(engine: Engine) -> None:
    with engine.connect() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        fault = Canary(engine).fault_alike(REFUSED)

    assert fault is not None
    assert "55P03" in fault.error_type
    assert not concerns_every_event(fault.reason), "the breaker closes at the next probe"
    assert Canary(engine).fault_alike(REFUSED) is None


def test_a_lock_that_only_some_events_meet_hides_no_built_in_event_that_passes(
    engine: Engine,
) -> None:
    with engine.connect() as other:
        other.execute(text("LOCK TABLE payments IN SHARE MODE"))
        assert Canary(engine).fault_alike(REFUSED) is None
        assert Canary(engine).fault_alike(NO_RIGHT) is not None, "the payment may lack it, too"


@pytest.mark.parametrize("table", ["stripe_events", "audit_logs"])
def test_what_fails_at_the_end_of_a_transaction_is_seen(engine: Engine, table: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN RAISE EXCEPTION ''late'' USING ERRCODE = ''23514''; END'"
            )
        )
        connection.execute(
            text(
                f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {table}"
                " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )

    assert Canary(engine).fault_alike(REFUSED) is not None


@pytest.mark.parametrize("table", ["payments", "dead_letters"])
def test_a_right_that_one_built_in_event_or_its_dead_letter_lacks_is_a_fault(
    engine: Engine, table: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"REVOKE INSERT ON {table} FROM CURRENT_USER"))

    assert Canary(engine).fault_alike(NO_RIGHT) is not None
    assert Canary(engine).fault(of_surroundings=False) is not None, "as the probe finds"


def test_a_session_that_is_broken_is_dropped(engine: Engine) -> None:
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    break_for(engine, "stripe_events", "true")

    Canary(engine).fault_alike(REFUSED)

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != pid
