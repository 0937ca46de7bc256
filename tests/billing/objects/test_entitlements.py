"""Stripe's list of features: a cut list ends nothing that earlier lists granted."""

from billing.facts import Fact
from billing.objects.entitlements import EntitlementSummaryState, fold_summary
from billing.objects.ordering import order_facts
from tests.billing.fact_builders import at, summary


def state(*facts: Fact) -> EntitlementSummaryState:
    return fold_summary(facts[0].object_key, order_facts(facts))


def test_a_cut_list_adds_features_and_a_whole_one_replaces_them() -> None:
    lists = [summary("a", "b"), summary("c", "a", seconds=5, complete=False)]

    assert state(*lists).lookup_keys == ("a", "b", "c")
    assert not state(*lists).complete
    assert state(*lists, summary("c", seconds=9)).lookup_keys == ("c",)


def test_the_features_that_were_listed_last_are_known_after_they_are_gone() -> None:
    gone = state(summary("a", "b"), summary(seconds=5), summary(seconds=9))

    assert (gone.lookup_keys, gone.last_known) == ((), ("a", "b"))
    assert (gone.customer_id, gone.since, gone.newest.at) == ("cus_1", at(0), at(9))


def test_of_a_customer_that_never_had_features_none_are_known() -> None:
    assert state(summary()).last_known == ()
