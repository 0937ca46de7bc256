import psycopg
import pytest

from tests.postgres_pair import PostgresPair, Way, ask

pytestmark = pytest.mark.servers


def write(pair: PostgresPair, *statements: str) -> None:
    with psycopg.connect(pair.url, connect_timeout=3) as connection:
        for statement in statements:
            connection.execute(statement)


def notes(pair: PostgresPair) -> str:
    return str(ask(pair.primary, "SELECT string_agg(note, ' ' ORDER BY note) FROM notes")[0])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["killed", "read-only", "frozen"])
def test_a_synchronous_standby_has_every_commit_whatever_becomes_of_the_primary(
    synchronous_pair: PostgresPair, way: Way
) -> None:
    pair = synchronous_pair
    write(pair, "CREATE TABLE notes (note text)", "INSERT INTO notes VALUES ('first')")
    pair.fail_over(way)
    assert notes(pair) == "first"
    pair.rebuild_standby()
    write(pair, "INSERT INTO notes VALUES ('second')")
    pair.fail_over("killed")

    assert notes(pair) == "first second"


def test_an_asynchronous_standby_that_is_cut_off_loses_what_came_after(
    asynchronous_pair: PostgresPair,
) -> None:
    pair = asynchronous_pair
    write(pair, "CREATE TABLE notes (note text)", "INSERT INTO notes VALUES ('kept')")
    pair.let_standby_catch_up()
    pair.cut_standby_off()
    write(pair, "INSERT INTO notes VALUES ('lost')")
    pair.fail_over()

    assert notes(pair) == "kept"
