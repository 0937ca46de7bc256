import psycopg
import pytest
import redis
from sqlalchemy.exc import OperationalError

from billing.errors import InvalidCatalogue
from ops.errors import NotDone, sentence
from ops.up.servers.errors import ServerMissing
from runtime.settings import SettingsError


@pytest.mark.parametrize(
    "error",
    [
        NotDone("no; try again"),
        SettingsError(("X: wrong",)),
        ServerMissing("none here"),
        InvalidCatalogue(("a price twice",)),
    ],
)
def test_what_we_raise_on_purpose_speaks_for_itself(error: Exception) -> None:
    assert sentence(error) == str(error)


def test_a_server_that_is_away_is_named_with_the_first_line_it_said() -> None:
    orig = psycopg.OperationalError("connection refused\nIs the server running?")

    assert sentence(OperationalError("select", {}, orig)) == (
        "PostgreSQL did not do it: connection refused"
    )
    assert sentence(redis.ConnectionError("no")) == "Redis did not do it: no"


def test_a_bug_has_no_sentence() -> None:
    assert sentence(KeyError("x")) is None
