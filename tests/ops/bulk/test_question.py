import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.bulk.question import Question, read_question

IDS = st.text(st.characters(categories=["L", "N"], include_characters="_/.-@"), min_size=1)
USERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(event=IDS, users=st.lists(USERS, min_size=1, max_size=4), plan=st.integers(1, 10**9))
def test_what_a_job_asks_is_read_again(event: str, users: list[str], plan: int) -> None:
    question = Question(event=event, users=tuple(users))

    assert read_question(question.says(plan)) == question


@pytest.mark.parametrize("reason", [None, "", "lunch", "evt_1 failed"])
def test_the_reason_of_a_person_is_no_question(reason: str | None) -> None:
    assert read_question(reason) is None


def test_the_question_names_the_commands_that_answer_it() -> None:
    says = Question(event="evt_1", users=("usr_1", "usr_2")).says(7)

    assert "`paidup jobs resume 7 --allow usr_1 --allow usr_2`" in says
    assert "`paidup jobs resume 7 --skip evt_1`" in says


def test_the_id_of_a_user_can_neither_name_others_nor_run_anything() -> None:
    question = Question(event="evt_1", users=("usr_1, usr_2", "usr_3; rm -rf ~"))

    assert read_question(question.says(7)) == question
    assert "--allow 'usr_1, usr_2' --allow 'usr_3; rm -rf ~'" in question.says(7)


def test_a_question_inside_the_id_of_a_user_is_not_asked() -> None:
    inner = Question(event="evt_2", users=("usr_2",)).says(7)
    question = Question(event="evt_1", users=(inner,))

    assert read_question(question.says(7)) in {question, None}
