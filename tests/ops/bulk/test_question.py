import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.bulk.question import Question, read_question

IDS = st.text(st.characters(categories=["L", "N"], include_characters="_/.-@"), min_size=1)


@given(event=IDS, users=st.lists(IDS, min_size=1, max_size=4), plan=st.integers(1, 10**9))
def test_what_a_job_asks_is_read_again(event: str, users: list[str], plan: int) -> None:
    question = Question(event=event, users=tuple(users))

    assert read_question(question.says(plan)) == question


@pytest.mark.parametrize("reason", [None, "", "lunch", "evt_1 failed"])
def test_the_reason_of_a_person_is_no_question(reason: str | None) -> None:
    assert read_question(reason) is None


def test_the_question_names_the_commands_that_answer_it() -> None:
    says = Question(event="evt_1", users=("usr_1", "usr_2")).says(7)

    assert "`paidup jobs resume 7 --allow usr_1`" in says
    assert "`paidup jobs resume 7 --skip evt_1`" in says
