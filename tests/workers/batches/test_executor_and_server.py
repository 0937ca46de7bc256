"""One event or dead letter that PostgreSQL refuses holds up no other."""

from collections.abc import Iterator
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from billing.catalogue import read_catalogue
from runtime.database.engine import engine_for
from runtime.failures.canary import Canary
from runtime.failures.dead_letters import count_open, dead_letter
from runtime.ledger.catalogues import install_first
from runtime.ledger.record import Ledger
from runtime.telemetry import build_metrics
from tests.workers.fakes import NOW, BatchInbox, body_of, entry_of
from workers.batches.executor import BatchExecutor, BatchResult, EventDisposition
from workers.batches.finisher import Finisher
from workers.batches.reporting import Reporter
from workers.batches.retry_policy import Finish, MoveToDeadLetters, Retry, Snooze

pytestmark = pytest.mark.servers

NO_RIGHT = "42501"
BREACH = "23514"


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Render no line: tracebacks would take the time of the split."""
    with capture_logs():
        yield


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    install_first(engine, read_catalogue({}), actor="tests", reason="tests")
    yield engine
    engine.dispose()


def refuse(engine: Engine, table: str, condition: str, errcode: str) -> None:
    """Let each INSERT of a row fail for which ``condition`` is true."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                f" 'BEGIN RAISE EXCEPTION ''refused'' USING ERRCODE = ''{errcode}''; END'"
            )
        )
        connection.execute(
            text(
                f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW"
                f" WHEN ({condition}) EXECUTE FUNCTION refuse()"
            )
        )


def executed(engine: Engine, *keys: str) -> BatchResult:
    executor = BatchExecutor(
        record=Ledger(engine, livemode="any", accounts=frozenset()).record,
        with_stored_fetches=list,
        now=lambda: NOW,
        chance=lambda: 0.0,
        ask_canary=Canary(engine).fault_alike,
    )
    entries = [entry_of(key, body=body_of(key, f"cus_{key}")) for key in keys]
    return executor.execute(entries, lambda: False)


def finisher_on(engine: Engine, inbox: BatchInbox) -> Finisher:
    return Finisher(
        inbox=inbox,
        write_dead_letters=partial(dead_letter, engine),
        reporter=Reporter(build_metrics(CollectorRegistry())),
        now=lambda: NOW,
        ask_canary=Canary(engine).fault_alike,
    )


def dead(*keys: str) -> BatchResult:
    disposition = MoveToDeadLetters(error_type="UnreadableEvent", error="no id")
    return BatchResult(
        dispositions=tuple(
            EventDisposition(entry=entry_of(key), disposition=disposition) for key in keys
        )
    )


def test_a_right_that_one_event_lacks_is_charged_to_that_event(engine: Engine) -> None:
    refuse(engine, "stripe_events", "NEW.id = 'evt_bad'", NO_RIGHT)

    result = executed(engine, *(f"evt_{number}" for number in range(6)), "evt_bad")

    by_key = {each.entry.key: each.disposition for each in result.dispositions}
    assert isinstance(by_key.pop("evt_bad"), Retry)
    assert {type(each) for each in by_key.values()} == {Finish}
    assert result.halted_by is None


def test_a_right_that_every_event_lacks_is_charged_to_none(engine: Engine) -> None:
    refuse(engine, "stripe_events", "true", NO_RIGHT)

    result = executed(engine, "evt_1", "evt_2")

    assert {type(each.disposition) for each in result.dispositions} == {Snooze}
    assert result.halted_by is not None


@pytest.mark.parametrize("errcode", [NO_RIGHT, BREACH])
def test_a_dead_letter_that_is_refused_holds_up_no_other(engine: Engine, errcode: str) -> None:
    refuse(engine, "dead_letters", "NEW.event_id = 'evt_bad'", errcode)
    inbox = BatchInbox([])

    halted_by = finisher_on(engine, inbox).finish("token", dead("evt_1", "evt_bad", "evt_2"))

    assert halted_by is None
    assert sorted(inbox.discarded) == ["evt_1", "evt_2"]
    assert [(each.key, each.charged) for each in inbox.parked] == [("evt_bad", False)]
    assert count_open(engine) == 2


def test_a_right_that_every_dead_letter_lacks_opens_the_breaker_until_it_is_there(
    engine: Engine,
) -> None:
    refuse(engine, "dead_letters", "true", NO_RIGHT)
    inbox = BatchInbox([])

    halted_by = finisher_on(engine, inbox).finish("token", dead("evt_1", "evt_2"))

    assert halted_by is not None
    assert sorted(each.key for each in inbox.parked) == ["evt_1", "evt_2"]
    assert Canary(engine).fault(of_surroundings=False) is not None
