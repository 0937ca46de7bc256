"""A draft of the plans is valid, shows what Stripe sells and says what a person has to decide."""

import pytest

from ops.plans.draft import (
    MOST_PRICES,
    DraftPrice,
    DraftProduct,
    group_products,
    read_price,
    write_draft,
)
from runtime.plans_file import read_plans_text


def recurring(
    price: str = "price_1", *, product: str = "prod_1", active: bool = True
) -> DraftPrice:
    return DraftPrice(id=price, product=product, active=active, interval="month", says="9.00 EUR")


def once(price: str = "price_2", *, product: str = "prod_1") -> DraftPrice:
    return DraftPrice(id=price, product=product, active=True, interval=None, says="99.00 EUR")


def product(*prices: DraftPrice, name: str = "Premium", **fields: tuple[str, ...]) -> DraftProduct:
    return DraftProduct(id="prod_1", name=name, prices=prices, features=fields.get("features", ()))


def test_a_price_is_read_with_its_amount_interval_and_names() -> None:
    raw = {
        "id": "price_1",
        "product": {"id": "prod_1"},
        "active": True,
        "currency": "eur",
        "unit_amount": 900,
        "recurring": {"interval": "month", "interval_count": 3},
        "lookup_key": "gold",
        "nickname": "old\nname",
    }

    price = read_price(raw)

    assert price is not None
    assert (price.id, price.product, price.active) == ("price_1", "prod_1", True)
    assert price.interval == "3 months"
    assert price.says == "9.00 EUR, every 3 months, lookup key gold, old\nname"


def test_a_price_without_a_fixed_amount_or_interval_says_so() -> None:
    price = read_price({"id": "price_1", "product": "prod_1", "currency": "eur"})

    assert price is not None
    assert price.interval is None
    assert price.says == "no fixed amount, paid once, archived"


@pytest.mark.parametrize("raw", [{"id": "price_1"}, {"product": "prod_1"}])
def test_a_price_that_names_no_product_or_id_is_none(raw: dict[str, str]) -> None:
    assert read_price(raw) is None


def test_products_are_sorted_by_name_and_their_archived_prices_come_last() -> None:
    old, new = recurring("price_1", active=False), recurring("price_2")
    other = once("price_3", product="prod_2")

    found = group_products({"prod_2": "Basic", "prod_1": "team"}, [old, other, new], {})

    assert [each.name for each in found] == ["Basic", "team"]
    assert [each.id for each in found[1].prices] == ["price_2", "price_1"]


def test_a_product_that_stripe_did_not_list_bears_its_id() -> None:
    (found,) = group_products({}, [once(product="prod_9")], {})

    assert found.name == "prod_9"


def test_the_document_is_valid_whatever_names_stripe_has() -> None:
    strange = 'Pro "plan" \x7f\n# über\\'
    first = product(recurring(), name=strange, features=("signals", "two words", "signals"))
    second = DraftProduct(id="prod_2", name=strange, prices=(once(),), features=())
    third = DraftProduct(id="prod_3", name="日本", prices=(once('p"\\'),), features=())

    plans = read_plans_text(write_draft([first, second, third])).plans

    by_code = {str(plan.code): plan for plan in plans}
    assert by_code.keys() == {"pro_plan_ber", "pro_plan_ber_2", "plan"}
    assert by_code["pro_plan_ber"].features == {"signals": True}
    assert by_code["pro_plan_ber_2"].features == {"pro_plan_ber_2": True}
    assert by_code["plan"].prices == ('p"\\',)


def test_a_person_has_to_decide_about_features_grace_and_the_end_of_purchases() -> None:
    text = write_draft([product(recurring(), once(), features=("signals", "two words"))])

    assert '"signals" = true # DECIDE: true, or a number such as 5' in text
    assert "grace_days = 0 # DECIDE" in text
    assert "# lasts_days = 365 # DECIDE" in text
    assert "# DECIDE: no feature can be named two words" in text
    assert "lasts_days" not in write_draft([product(recurring())])
    assert "grace_days" not in write_draft([product(once())])


def test_a_product_with_very_many_prices_stands_for_them() -> None:
    prices = [once(f"price_{number}") for number in range(MOST_PRICES + 1)]

    (plan,) = read_plans_text(write_draft([product(*prices)])).plans

    assert plan.prices == ("prod_1",)


def test_archived_prices_that_were_left_out_are_counted() -> None:
    assert "Left out: 3 archived prices" in write_draft([], left_out=3)
    assert "Left out" not in write_draft([])
