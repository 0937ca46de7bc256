import pytest

from tests.answer_times import answered_within


@pytest.mark.parametrize(
    ("late", "slowest", "held"), [(0, 0.1, True), (1, 1.2, True), (2, 1.2, False), (1, 5.0, False)]
)
def test_one_answer_in_a_hundred_may_be_late_and_none_may_hang(
    late: int, slowest: float, *, held: bool
) -> None:
    assert answered_within([0.1] * (100 - late) + [slowest] * late, 1.0) is held
