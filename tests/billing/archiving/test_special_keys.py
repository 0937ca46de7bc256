from billing.archiving.special_keys import OpenMoney
from billing.ids import ObjectKey
from tests.billing.fact_builders import at

IN_1 = ObjectKey("test:in_1abcdefghijklmnopqrst")
IN_2 = ObjectKey("test:in_1abcdefghijklmnopqxyz")
"""Two invoices that one reference may mean, because it is cut off."""


def open_money(ref: str, *objects: str, is_invoice: bool) -> OpenMoney:
    return OpenMoney(
        ref=ObjectKey(ref),
        is_invoice=is_invoice,
        alike="cus_1",
        moments=(at(0),),
        objects=frozenset(map(ObjectKey, objects)),
    )


def test_money_is_touched_by_an_event_that_names_an_object_of_it() -> None:
    money = open_money("test:pi_1", "test:pi_1", "test:ch_1", is_invoice=False)

    assert money.is_touched_by(frozenset({ObjectKey("test:ch_1"), ObjectKey("test:cus_1")}))
    assert not money.is_touched_by(frozenset({ObjectKey("test:ch_2")}))


def test_an_invoice_is_touched_by_another_one_that_its_reference_may_mean() -> None:
    money = open_money(IN_1, IN_1, is_invoice=True)

    assert money.is_touched_by(frozenset({IN_2}))
    assert not money.is_touched_by(frozenset({ObjectKey("test:in_9abcdefghijklmnopqrst")}))
    assert not money.is_touched_by(frozenset({ObjectKey(IN_2.replace("in_", "pi_"))}))
    assert not open_money(IN_1, IN_1, is_invoice=False).is_touched_by(frozenset({IN_2}))
