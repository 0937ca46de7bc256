"""The words of an object about its user: each change once, dated from the object's own second."""

from billing.facts import Fact
from billing.objects.checkouts import fold_session
from billing.objects.ordering import order_facts
from billing.objects.user_statements import UserStatements
from tests.billing.fact_builders import at, checkout


def statements(*facts: Fact) -> UserStatements:
    return fold_session(facts[0].object_key, order_facts(facts)).user_statements


def test_words_that_stay_the_same_are_one_statement() -> None:
    found = statements(checkout(5), checkout(6), checkout(7, user_id="usr_2"), checkout(8))

    assert [each.at for each in found.changes] == [at(5), at(7), at(8)]


def test_a_change_of_either_word_is_a_statement() -> None:
    found = statements(checkout(5), checkout(6, client_reference_id="usr_9"))

    assert [each.client_reference_id for each in found.changes] == [None, "usr_9"]
    assert found.by_client_reference() == (("usr_9", at(6)),)


def test_the_first_words_stand_since_the_object_was_made() -> None:
    made = checkout(5, own_created_at=at(2))

    assert statements(made).made_at == at(2)
    assert [each.at for each in statements(made).changes] == [at(2)]
    assert statements(checkout(5)).made_at == at(5)


def test_the_words_before_the_first_observed_change_stand_since_the_object_was_made() -> None:
    before = checkout(5, user_id="usr_1").fields
    changed = checkout(5, user_id="usr_2", own_created_at=at(2), how={"before": before})

    found = [(each.at, each.metadata) for each in statements(changed).changes]

    assert [since for since, _ in found] == [at(2), at(5)]
    assert [dict(words)["user_id"] for _, words in found] == ["usr_1", "usr_2"]


def test_a_missed_change_shows_in_what_was_before_the_next_one() -> None:
    before = checkout(9, user_id="usr_2").fields
    found = statements(checkout(5), checkout(9, user_id="usr_3", how={"before": before}))

    assert [dict(each.metadata)["user_id"] for each in found.changes] == ["usr_1", "usr_2", "usr_3"]
