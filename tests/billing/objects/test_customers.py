"""The state of a customer: its words since it was made, and its test clock."""

from billing.facts import Fact
from billing.objects.customers import CustomerState, fold_customer
from billing.objects.ordering import order_facts
from tests.billing.fact_builders import at, customer, with_fields


def state(*facts: Fact) -> CustomerState:
    return fold_customer(facts[0].object_key, order_facts(facts))


def test_the_words_of_a_customer_stand_since_it_was_made() -> None:
    heard_late = with_fields(customer("usr_1", 50), own_created_at=at(2))

    assert [each.at for each in state(heard_late).user_statements.changes] == [at(2)]
    assert [each.at for each in state(customer("usr_1", 50)).user_statements.changes] == [at(50)]


def test_one_snapshot_of_a_test_clock_is_enough_for_a_customer() -> None:
    assert state(customer("usr_1", 0, clock="clock_1"), customer("usr_1", 5)).clocked
    assert not state(customer("usr_1")).clocked
