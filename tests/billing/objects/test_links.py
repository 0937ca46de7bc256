"""The state of a link: a person's word, which stays taken back once it is."""

from billing.facts import Fact
from billing.objects.links import LinkState, fold_link
from billing.objects.ordering import order_facts
from tests.billing.fact_builders import at, link


def state(*facts: Fact) -> LinkState:
    return fold_link(facts[0].object_key, order_facts(facts))


def test_a_link_names_its_object_and_its_user_since_it_was_made() -> None:
    found = state(link("sub_1", "usr_1", 5, stripe_id="op_1"))

    assert (found.id, found.target, found.user_id) == ("op_1", "sub_1", "usr_1")
    assert (found.since, found.ended) == (at(5), False)


def test_a_link_that_was_taken_back_stays_so_in_any_order() -> None:
    made = link("sub_1", "usr_1", 5, stripe_id="op_1")
    ended = link("sub_1", "usr_1", 5, ended=5, stripe_id="op_1", event="evt_end")

    assert state(made, ended).ended
    assert state(ended, made).ended
