import psycopg
import pytest
import redis
import sqlalchemy.exc
from psycopg import errors as pg

from billing.errors import MalformedEvent, UnreadableEvent
from runtime.database.deadline import SessionLost
from runtime.failures.classify import (
    LONGEST_REASON,
    Infrastructure,
    Outdated,
    Permanent,
    Transient,
    Unexpected,
    classify,
)
from runtime.ledger.errors import (
    CatalogueMissing,
    DeadLetterChanged,
    IdentityConflict,
    LocksOutOfOrder,
    SchemaOutdated,
)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.errors.ConnectionTimeout("timeout expired"),
        psycopg.InterfaceError("the connection is closed"),
        SessionLost("terminating connection due to administrator command"),
        pg.ConnectionFailure(),
        pg.DiskFull(),
        pg.TooManyConnections(),
        pg.AdminShutdown(),
        pg.CrashShutdown(),
        pg.CannotConnectNow(),
        pg.ReadOnlySqlTransaction(),
        pg.InsufficientPrivilege(),
        pg.ProtocolViolation("query_wait_timeout"),
        pg.ProtocolViolation("server login has been failing, try again later"),
        sqlalchemy.exc.TimeoutError("pool"),
        sqlalchemy.exc.DisconnectionError(),
        redis.exceptions.ConnectionError(),
        redis.exceptions.BusyLoadingError(),
        redis.exceptions.TimeoutError(),
        redis.exceptions.ReadOnlyError(),
        ConnectionResetError(),
    ],
)
def test_a_server_that_is_away_or_cannot_write_is_infrastructure(error: Exception) -> None:
    assert isinstance(classify(error), Infrastructure)


@pytest.mark.parametrize(
    "error",
    [
        pg.LockNotAvailable(),
        pg.DeadlockDetected(),
        pg.SerializationFailure(),
        pg.QueryCanceled(),
        pg.IdleInTransactionSessionTimeout(),
        SessionLost("terminating connection due to idle-in-transaction timeout"),
        pg.ProtocolViolation("query timeout\n"),
        pg.ProtocolViolation("idle transaction timeout"),
        LocksOutOfOrder(["test:cus_1"]),
        DeadLetterChanged("evt_1"),
    ],
)
def test_contention_belongs_to_the_event_and_not_to_the_server(error: Exception) -> None:
    assert isinstance(classify(error), Transient)


@pytest.mark.parametrize(
    "error",
    [
        MalformedEvent("no id"),
        UnreadableEvent("evt_1", "data.object.id"),
        IdentityConflict("evt_1"),
        pg.NumericValueOutOfRange(),
        pg.CheckViolation(),
        pg.NotNullViolation(),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    ],
)
def test_what_no_repetition_can_apply_is_permanent(error: Exception) -> None:
    assert isinstance(classify(error), Permanent)


@pytest.mark.parametrize(
    "error",
    [KeyError("id"), MemoryError(), RecursionError(), pg.UndefinedColumn(), pg.UniqueViolation()],
)
def test_an_error_without_a_rule_is_unexpected(error: Exception) -> None:
    assert isinstance(classify(error), Unexpected)


@pytest.mark.parametrize("error", [SchemaOutdated("another release"), CatalogueMissing()])
def test_a_database_of_another_release_is_outdated(error: Exception) -> None:
    assert isinstance(classify(error), Outdated)


def test_the_cause_inside_sqlalchemys_wrapping_decides() -> None:
    wrapped = sqlalchemy.exc.OperationalError("SELECT 1", {}, pg.LockNotAvailable("held"))

    assert classify(wrapped) == Transient(error_type="LockNotAvailable (55P03)", reason="held")


def test_sqlalchemys_own_mistake_without_a_cause_is_unexpected() -> None:
    wrapped = sqlalchemy.exc.StatementError("no such bind", "SELECT 1", {}, None)

    assert isinstance(classify(wrapped), Unexpected)


def test_an_error_without_words_still_says_something_and_a_long_one_ends() -> None:
    silent = classify(ValueError())
    long = classify(ValueError("x" * 10_000))

    assert silent == Unexpected(error_type="ValueError", reason="no further words")
    assert len(long.reason) == LONGEST_REASON
