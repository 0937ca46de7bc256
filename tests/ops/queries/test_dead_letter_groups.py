from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert

from models.tables import DeadLetter
from ops.queries import dead_letter_groups
from ops.queries.dead_letter_groups import LetterGroups, letter_groups
from runtime.database.engine import engine_for
from tests.ops.queries.test_dead_letter_pages import START, letter

pytestmark = pytest.mark.servers

LETTERS = [
    letter("evt_1", error="price_1 is unknown", first_failed_at=START - timedelta(days=9)),
    letter("evt_2", error="price_2 is unknown", last_failed_at=START + timedelta(days=1)),
    letter("evt_3", error="price_3 is unknown", state="discarded"),
    letter("evt_4", error="it has no customer", last_failed_at=START + timedelta(days=2)),
    letter("evt_5", error="it is settled", state="replayed"),
]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    with engine.begin() as connection:
        connection.execute(insert(DeadLetter), LETTERS)
    yield engine
    engine.dispose()


def groups(engine: Engine, state: str = "open") -> LetterGroups:
    with engine.connect() as connection:
        return letter_groups(connection, state=state)


def test_a_group_counts_each_state_and_says_when_it_failed(engine: Engine) -> None:
    found = groups(engine)

    newest, alike = found.groups
    assert not found.more
    assert newest.error == "it has no customer"
    assert (alike.open, alike.discarded, alike.replayed) == (2, 1, 0)
    assert alike.error == "price_2 is unknown"
    assert alike.first_failed_at == START - timedelta(days=9)
    assert alike.last_failed_at == START + timedelta(days=1)


def test_groups_of_another_state_are_those_with_letters_in_it(engine: Engine) -> None:
    assert [each.error for each in groups(engine, "replayed").groups] == ["it is settled"]


def test_letters_are_counted_up_to_a_cap(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_groups, "COUNTED_LETTERS", 1)
    with engine.begin() as connection:
        connection.execute(insert(DeadLetter), [letter("evt_6", error="price_6 is unknown")])

    assert max(each.open for each in groups(engine).groups) == 2


def test_a_list_says_if_it_leaves_groups_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_groups, "MAX_GROUPS", 1)

    found = groups(engine)

    assert (len(found.groups), found.more) == (1, True)


def test_the_group_that_failed_last_comes_first(engine: Engine) -> None:
    late = [START + timedelta(days=number) for number in range(10, 18)]
    more = [letter(f"evt_x{at:%d}", error="x" * at.day, last_failed_at=at) for at in late]
    with engine.begin() as connection:
        connection.execute(insert(DeadLetter), more)

    assert [each.last_failed_at for each in groups(engine).groups][:8] == late[::-1]
