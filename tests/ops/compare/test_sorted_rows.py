import tracemalloc
from collections.abc import Iterator
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ops.compare.sorted_rows import Contradiction, CurrentAccess, sorting
from ops.compare.values import CurrentValue

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=4)


def access(place: int, user: str, value: CurrentValue = 1) -> CurrentAccess:
    return CurrentAccess(place=place, user_id=user, feature="pro", value=value)


@given(st.lists(texts, unique=True))
def test_users_come_in_the_order_of_code_points(users: list[str]) -> None:
    with sorting() as listed:
        listed.load(access(place, user) for place, user in enumerate(users))

        assert [user for user, _, _ in listed.by_user()] == sorted(users)


def test_a_value_keeps_its_type() -> None:
    values: list[CurrentValue] = [True, False, None, 1, "1", "t"]
    with sorting() as listed:
        listed.load(access(n, f"usr_{n}", value) for n, value in enumerate(values))

        found = [value for _, _, value in listed.by_user()]
        assert [(type(value), value) for value in found] == [(type(v), v) for v in values]


def test_a_decimal_becomes_the_same_number_as_text() -> None:
    with sorting() as listed:
        listed.load([access(1, "usr_1", Decimal("2.50"))])

        assert [*listed.by_user()] == [("usr_1", "pro", "2.50")]


def test_a_row_that_comes_twice_counts_once() -> None:
    with sorting() as listed:
        listed.load([access(1, "usr_1"), access(2, "usr_1")])

        assert listed.contradictions() == []
        assert [*listed.by_user()] == [("usr_1", "pro", 1)]


def test_two_values_of_one_feature_are_named_with_their_places() -> None:
    with sorting() as listed:
        listed.load([access(2, "usr_1", 1), access(7, "usr_1", 2), access(8, "usr_2", 2)])

        wrong = Contradiction(user_id="usr_1", feature="pro", first=2, last=7)
        assert listed.contradictions() == [wrong]


def test_a_long_list_is_never_held_in_memory() -> None:
    def users(number: int) -> Iterator[CurrentAccess]:
        return (access(place, f"usr_{place}") for place in range(number))

    def most_bytes(number: int) -> int:
        tracemalloc.start()
        try:
            with sorting() as listed:
                listed.load(users(number))
                assert sum(1 for _ in listed.by_user()) == number
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_bytes(100)
    assert most_bytes(20_000) < 2 * most_bytes(200) + 50_000
