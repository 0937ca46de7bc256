"""One payment with all that belongs to it is one component."""

from billing.archiving.components import components_of
from billing.ids import ObjectKey
from tests.billing.fact_builders import DAY, intent, subscription


def test_payments_are_apart_unless_something_puts_them_together() -> None:
    paid = [intent(seconds=day * DAY, stripe_id=f"pi_{day}") for day in (2, 1)]
    together = [(ObjectKey("test:pi_2"), ObjectKey("test:pi_1"))]

    assert [each.name for each in components_of(paid)] == ["test:pi_1", "test:pi_2"]
    assert [len(each.facts) for each in components_of(paid, together)] == [2]


def test_what_no_payment_names_is_in_no_component() -> None:
    unknown = [(ObjectKey("test:in_8"), ObjectKey("test:pi_9"))]

    [found] = components_of([intent(), subscription()], unknown)

    assert found.keys == {"test:pi_1"}
