"""A discard and the settling of one event at once: each order ends as the operator was answered."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from runtime.database.engine import engine_for
from runtime.failures import dead_letters
from runtime.failures.dead_letters import DeadLetterDraft, DiscardResult, dead_letter, discard
from runtime.ledger import decide, record
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import (
    checkout,
    contents,
    delivery,
    event,
    outcomes,
    rows,
)

pytestmark = pytest.mark.servers

EVENT = "evt_dead"
BODY = event("checkout.session.completed", checkout("cs_1"), id=EVENT)
SENT_AGAIN = delivery(BODY)
REPLAYED = delivery(BODY, origin="replay", actor="ada", reason="mended")
UNDER_WAY = pytest.mark.parametrize("under_way", [SENT_AGAIN, REPLAYED], ids=["sent", "replayed"])
DISCARDED = [("ignored", "discarded")]
APPLIED = [("applied", None)]
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'discarder' AND wait_event_type = 'Lock'"
)


def make_dead_letter(engine: Engine) -> None:
    failed_at = datetime.now(UTC)
    draft = DeadLetterDraft(
        key=EVENT,
        event_type="checkout.session.completed",
        body=BODY,
        error_type="UnreadableEvent",
        error="no id",
        attempts=1,
        origin="stripe",
        received_at=failed_at,
        first_failed_at=failed_at,
        failed_at=failed_at,
    )
    dead_letter(engine, [draft])


class Operator:
    """Discards the event's dead letter, at once or in a thread that may have to wait."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor) -> None:
        self.engine = engine
        self._pool = pool
        self._pending: Future[DiscardResult] | None = None

    def discard(self) -> DiscardResult:
        (result,) = discard(self.engine, [EVENT], actor="cli:ada", reason="a test")
        return result

    def begin(self) -> None:
        """Begin to discard, and return when a lock of the settling transaction is in the way."""
        self._pending = self._pool.submit(self.discard)
        ends_at = time.monotonic() + 30
        while rows(self.engine, BLOCKED) != [1]:
            assert not self._pending.done(), self._pending.result()
            assert time.monotonic() < ends_at

    def end(self) -> DiscardResult:
        assert self._pending is not None
        return self._pending.result(timeout=30)


@pytest.fixture
def operator(engine: Engine, database: str) -> Iterator[Operator]:
    own = engine_for(database, application_name="discarder")
    with ThreadPoolExecutor(1) as pool:
        yield Operator(own, pool)
    own.dispose()


@pytest.fixture
def dead(engine: Engine) -> None:
    """Leave a dead letter that another worker made of the event."""
    make_dead_letter(engine)


def once_after(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, then: Callable[[], Any]
) -> None:
    """Call ``then`` when the function of the settling transaction has returned the first time."""
    real, left = getattr(module, name), [then]

    def wrapped(*given: Any, **named: Any) -> Any:
        returned = real(*given, **named)
        if left:
            left.pop()()
        return returned

    monkeypatch.setattr(module, name, wrapped)


def state(engine: Engine) -> str:
    (found,) = rows(engine, "SELECT state FROM dead_letters")
    return str(found)


def active(engine: Engine) -> int:
    (count,) = rows(engine, "SELECT count(*) FROM user_entitlements WHERE active")
    return int(count)


@UNDER_WAY
@pytest.mark.usefixtures("dead")
def test_a_discard_before_the_settling_begins_holds(
    ledger: Ledger, engine: Engine, operator: Operator, under_way: Delivery
) -> None:
    assert operator.discard().discarded

    assert outcomes(ledger.record([under_way])) == DISCARDED
    assert (state(engine), active(engine)) == ("discarded", 0)


@UNDER_WAY
@pytest.mark.usefixtures("dead")
def test_a_discard_after_the_dead_letter_was_read_holds(
    ledger: Ledger,
    engine: Engine,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    under_way: Delivery,
) -> None:
    answers: list[DiscardResult] = []
    once_after(monkeypatch, decide, "open_transaction", lambda: answers.append(operator.discard()))

    assert outcomes(ledger.record([under_way])) == DISCARDED
    assert [each.discarded for each in answers] == [True]
    assert (state(engine), active(engine)) == ("discarded", 0)


@UNDER_WAY
@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize("step", ["admit", "load_past"])
def test_a_discard_while_the_event_is_settled_waits_and_says_that_it_came_too_late(  # noqa: PLR0917 - fixtures
    ledger: Ledger,
    engine: Engine,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    under_way: Delivery,
    step: str,
) -> None:
    once_after(monkeypatch, decide, step, operator.begin)

    assert outcomes(ledger.record([under_way])) == APPLIED

    answer = operator.end()
    assert (answer.discarded, answer.state, answer.outcome) == (False, "replayed", "applied")
    assert (state(engine), active(engine)) == ("replayed", 1)


@UNDER_WAY
@pytest.mark.usefixtures("dead")
def test_a_discard_after_the_dead_letter_was_closed_waits_and_says_that_it_came_too_late(
    ledger: Ledger,
    engine: Engine,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    under_way: Delivery,
) -> None:
    once_after(monkeypatch, record, "_resolve_dead_letters", operator.begin)

    assert outcomes(ledger.record([under_way])) == APPLIED
    assert (operator.end().discarded, state(engine), active(engine)) == (False, "replayed", 1)


@UNDER_WAY
@pytest.mark.usefixtures("dead")
def test_a_discard_that_waited_for_a_settling_that_failed_holds(
    ledger: Ledger,
    engine: Engine,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    under_way: Delivery,
) -> None:
    def fail() -> None:
        operator.begin()
        raise ConnectionError

    once_after(monkeypatch, decide, "load_past", fail)
    with pytest.raises(ConnectionError):
        ledger.record([under_way])

    assert operator.end().discarded
    assert outcomes(ledger.record([under_way])) == DISCARDED
    assert (state(engine), active(engine)) == ("discarded", 0)


@UNDER_WAY
@pytest.mark.usefixtures("dead")
def test_a_settling_that_meets_a_discard_under_way_waits_for_it_and_begins_again(
    ledger: Ledger,
    engine: Engine,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    under_way: Delivery,
) -> None:
    """Settle when the discard has looked for settling transactions, and has not committed."""
    with ThreadPoolExecutor(1) as pool:
        settling: list[Future[Any]] = []

        def settle_meanwhile() -> None:
            settling.append(pool.submit(ledger.record, [under_way]))
            with pytest.raises(TimeoutError):
                settling[0].result(timeout=0.5)

        once_after(monkeypatch, dead_letters, "_discard_open", settle_meanwhile)
        assert operator.discard().discarded
        assert outcomes(settling[0].result(timeout=30)) == DISCARDED

    assert (state(engine), active(engine)) == ("discarded", 0)


@UNDER_WAY
@pytest.mark.usefixtures("dead")
def test_a_discard_after_the_commit_says_that_it_came_too_late(
    ledger: Ledger, engine: Engine, operator: Operator, under_way: Delivery
) -> None:
    ledger.record([under_way])

    answer = operator.discard()

    assert (answer.discarded, answer.state, answer.outcome) == (False, "replayed", "applied")
    assert answer.resolved_by == under_way.actor
    assert (state(engine), active(engine)) == ("replayed", 1)


@UNDER_WAY
def test_an_event_that_died_and_was_discarded_while_it_was_settled_is_decided_again(
    ledger: Ledger,
    engine: Engine,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    under_way: Delivery,
) -> None:
    def die_and_discard() -> None:
        make_dead_letter(engine)
        assert operator.discard().discarded

    once_after(monkeypatch, decide, "open_transaction", die_and_discard)

    assert outcomes(ledger.record([under_way])) == DISCARDED
    assert (state(engine), active(engine)) == ("discarded", 0)


@UNDER_WAY
def test_a_dead_letter_made_in_mid_settlement_is_discarded_with_the_word_that_it_was_applied(
    ledger: Ledger,
    engine: Engine,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    under_way: Delivery,
) -> None:
    def die_and_discard() -> None:
        make_dead_letter(engine)
        operator.begin()

    once_after(monkeypatch, decide, "load_past", die_and_discard)

    assert outcomes(ledger.record([under_way])) == APPLIED
    answer = operator.end()
    assert (answer.discarded, answer.outcome, active(engine)) == (True, "applied", 1)


@pytest.mark.usefixtures("dead")
def test_a_replay_asked_for_after_the_discard_applies(
    ledger: Ledger, engine: Engine, operator: Operator
) -> None:
    first = operator.discard()

    replay = replace(REPLAYED, undoes_discard=first.resolved_at)
    assert outcomes(ledger.record([replay])) == APPLIED
    assert (state(engine), active(engine)) == ("replayed", 1)


@pytest.mark.usefixtures("dead")
def test_a_replay_undoes_no_later_discard(
    ledger: Ledger, engine: Engine, operator: Operator
) -> None:
    first = operator.discard()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE dead_letters SET state = 'open', resolved_at = NULL")
    operator.discard()

    replay = replace(REPLAYED, undoes_discard=first.resolved_at)
    assert outcomes(ledger.record([replay])) == DISCARDED
    assert (state(engine), active(engine)) == ("discarded", 0)


def test_the_discard_of_a_failed_replay_leaves_what_is_settled(
    ledger: Ledger, engine: Engine, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.record([SENT_AGAIN])
    make_dead_letter(engine)
    before = contents(engine, without=["audit_logs", "dead_letters"])
    answers: list[DiscardResult] = []
    once_after(monkeypatch, decide, "load_past", lambda: answers.append(operator.discard()))

    (settled,) = ledger.record([REPLAYED])

    assert [(each.discarded, each.outcome) for each in answers] == [(True, "applied")]
    assert (settled.hit, settled.outcome, state(engine)) == (True, "applied", "discarded")
    assert contents(engine, without=["audit_logs", "dead_letters"]) == before
