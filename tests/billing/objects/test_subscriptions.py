"""The items of a subscription: cut lists, and the names under which they were sold."""

from billing.facts import Fact, Item
from billing.objects.ordering import order_facts
from billing.objects.subscriptions import SubscriptionState, fold_subscription
from tests.billing.fact_builders import DAY, at, item, subscription


def state(*facts: Fact) -> SubscriptionState:
    return fold_subscription(facts[0].object_key, order_facts(facts))


def whole(seconds: float, *items: Item) -> Fact:
    return subscription("active", seconds, *items)


def cut(seconds: float, *items: Item) -> Fact:
    return subscription("active", seconds, *items, stated={"items_complete": False})


def quantities(state: SubscriptionState) -> dict[str | None, int]:
    return {each.id: each.quantity for each in state.items}


def test_a_cut_list_adds_and_changes_items_and_removes_none() -> None:
    before = whole(0, item(id="si_1", quantity=1), item(id="si_2", quantity=2))

    after = state(before, cut(5, item(id="si_2", quantity=5), item(id="si_3", quantity=3)))

    assert quantities(after) == {"si_1": 1, "si_2": 5, "si_3": 3}
    assert not after.items_complete


def test_a_whole_list_after_cut_ones_is_the_list() -> None:
    lists = [whole(0, item(id="si_1")), cut(5, item(id="si_2")), whole(9, item(id="si_3"))]

    assert quantities(state(*lists)) == {"si_3": 1}
    assert state(*lists).items_complete


def test_a_cut_list_alone_is_what_it_shows() -> None:
    assert quantities(state(cut(0, item(id="si_1")))) == {"si_1": 1}


def test_the_items_of_its_state_have_the_periods_of_their_newest_list() -> None:
    lists = [
        whole(0, item(id="si_1", period_end=DAY), item(id="si_2", period_end=2 * DAY)),
        cut(5, item(id="si_1", period_end=9 * DAY)),
    ]

    assert [each.period_end for each in state(*lists).items] == [at(9 * DAY), at(2 * DAY)]
    assert state(*lists).period_end == at(9 * DAY)


def test_an_item_keeps_the_lookup_keys_that_its_price_had_and_no_later_one() -> None:
    snapshots = [
        whole(0, item("price_1", lookup_key="gold", product="prod_1")),
        whole(1, item("price_1", lookup_key="silver", product="prod_1")),
        whole(2, item("price_1", product="prod_1")),
        whole(3, item("price_1", lookup_key="gold", product="prod_1"), item("price_2")),
    ]

    assert [run.items[0].names for run in state(*snapshots).item_runs] == [
        ("price_1", "gold", "prod_1"),
        ("price_1", "silver", "gold", "prod_1"),
        ("price_1", None, "silver", "gold", "prod_1"),
        ("price_1", "gold", "silver", "prod_1"),
    ]
    assert state(*snapshots).items[1].names == ("price_2", None, None)


def test_equal_items_in_a_row_are_one_run_from_the_first() -> None:
    folded = state(
        subscription("active", 0, item(period_start=at(0), period_end=DAY)),
        subscription("past_due", 1, item(period_start=at(DAY), period_end=2 * DAY)),
        subscription("past_due", 2, item(quantity=2)),
    )

    assert [run.at for run in folded.item_runs] == [at(0), at(2)]
    assert (folded.paid_run, folded.present_run) == (0, 1)


def test_an_ended_subscription_is_on_the_items_it_ended_with() -> None:
    folded = state(
        subscription("canceled", 0, item("price_1")), subscription("active", 1, item("price_2"))
    )

    assert folded.prices == ("price_1",)
    assert (folded.present_run, folded.paid_run) == (0, 1)
