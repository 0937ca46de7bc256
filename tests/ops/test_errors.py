from importlib import import_module

import psycopg
import pytest
import redis
from sqlalchemy.exc import OperationalError

from billing.errors import InvalidCatalogue
from ops import errors
from ops.errors import CommandFailed, user_message
from ops.up.servers.errors import ServerMissing
from runtime.settings import SettingsError

NAMED = list(errors.SERVERS_OF_ERRORS)


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_every_error_named_by_a_string_exists(module: str, name: str) -> None:
    assert issubclass(getattr(import_module(module), name), Exception)


@pytest.mark.parametrize(
    "error",
    [
        CommandFailed("no; try again"),
        SettingsError(("X: wrong",)),
        ServerMissing("none here"),
        InvalidCatalogue(("a price twice",)),
    ],
)
def test_an_error_raised_on_purpose_is_its_own_message(error: Exception) -> None:
    assert user_message(error) == str(error)


def test_an_unreachable_server_is_named_with_the_first_line_of_its_error() -> None:
    orig = psycopg.OperationalError("connection refused\nIs the server running?")

    assert user_message(OperationalError("select", {}, orig)) == (
        "PostgreSQL failed: connection refused"
    )
    assert user_message(redis.ConnectionError("no")) == "Redis failed: no"


def test_what_a_driver_quotes_is_said_without_a_password() -> None:
    orig = psycopg.OperationalError("failed to resolve host 'hunter2@localhost'")
    unknown = redis.ResponseError(
        "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'hunter2'"
    )

    assert user_message(OperationalError("select", {}, orig)) == (
        "PostgreSQL failed: failed to resolve host '***@localhost'"
    )
    assert user_message(unknown) == "Redis failed: unknown command 'HELLO'"


def test_a_bug_has_no_message() -> None:
    assert user_message(KeyError("x")) is None
