"""The user of an object: by its own reference, the customer's link or a copy."""

from billing.rows import Projection
from tests.billing.fact_builders import (
    DAY,
    at,
    charge,
    checkout,
    customer,
    intent,
    invoice,
    only_grant,
    only_payment,
    project_facts,
    subscribed,
    subscription,
    summary,
)


def holders(projection: Projection) -> set[str]:
    return {row.user_id for row in projection.entitlements.values() if row.active}


def named(projection: Projection) -> set[str]:
    return {row.user_id for row in projection.entitlements.values()}


def test_a_subscription_names_its_own_user() -> None:
    projection = project_facts(customer("usr_2"), subscription(user="usr_1"))

    assert holders(projection) == {"usr_1"}
    assert named(projection) == {"usr_1", "usr_2"}


def test_a_subscription_without_user_belongs_to_the_user_of_its_checkout() -> None:
    projection = project_facts(
        customer("usr_2"), subscribed(user_id="usr_3"), subscription(user=None)
    )

    assert holders(projection) == {"usr_3"}


def test_a_silent_subscription_is_the_customers_user() -> None:
    assert holders(project_facts(customer("usr_2"), subscription(user=None))) == {"usr_2"}


def test_the_customers_own_metadata_comes_before_its_newest_session() -> None:
    projection = project_facts(
        customer("usr_2"), checkout(9, user_id="usr_3"), subscription(user=None)
    )

    assert projection.customers["test", "cus_1"].user_id == "usr_2"
    assert grant_of(projection, "sub_1") == {"usr_2"}


def test_a_session_that_expired_names_no_user_for_its_customer() -> None:
    expired = checkout(
        9,
        user_id="usr_3",
        payment_status="unpaid",
        status="expired",
        payment_intent=None,
        how={"type_": "checkout.session.expired"},
    )
    projection = project_facts(expired, subscription(user=None))

    assert projection.customers["test", "cus_1"].user_id is None
    assert projection.waiting
    assert named(projection) == set()
    assert projection.purchases["test", "cs_1"].user_id == "usr_3"


def test_a_session_that_waits_for_its_money_names_the_user_of_its_customer() -> None:
    projection = project_facts(
        checkout(9, user_id="usr_3", payment_status="unpaid", payment_intent=None),
        subscription(user=None),
    )

    assert holders(projection) == {"usr_3"}


def grant_of(projection: Projection, source: str) -> set[str]:
    rows = projection.entitlements.values()
    return {row.user_id for row in rows if row.active and row.source == source}


def test_the_newest_session_links_a_customer_that_says_nothing() -> None:
    projection = project_facts(
        checkout(1, stripe_id="cs_1", user_id="usr_2", payment_intent="pi_1"),
        checkout(2, stripe_id="cs_2", user_id="usr_3", payment_intent="pi_2"),
        subscription(user=None),
    )

    assert projection.customers["test", "cus_1"].user_id == "usr_3"
    assert grant_of(projection, "sub_1") == {"usr_3"}
    assert grant_of(projection, "pi_1") == {"usr_2"}


def test_of_two_sessions_in_one_second_the_lower_user_id_links() -> None:
    sessions = [
        checkout(1, stripe_id="cs_1", user_id="usr_b", payment_intent="pi_1"),
        checkout(1, stripe_id="cs_2", user_id="usr_a", payment_intent="pi_2"),
    ]

    assert project_facts(sessions).customers["test", "cus_1"].user_id == "usr_a"
    assert project_facts(sessions[::-1]).customers["test", "cus_1"].user_id == "usr_a"


def test_a_copy_on_an_invoice_counts_where_nothing_else_does() -> None:
    projection = project_facts(subscription(user=None), invoice(user_id="usr_4"))

    assert holders(projection) == {"usr_4"}
    assert only_payment(projection).user_id == "usr_4"


def test_a_copy_on_an_invoice_gives_way_to_the_customer() -> None:
    projection = project_facts(customer("usr_2"), subscription(user=None), invoice(user_id="usr_4"))

    assert holders(projection) == {"usr_2"}
    assert named(projection) == {"usr_2", "usr_4"}


def test_a_copy_on_a_charge_names_the_user_of_a_payment_without_other_references() -> None:
    assert only_payment(project_facts(charge(user_id="usr_5"))).user_id == "usr_5"
    assert (
        only_payment(project_facts(customer("usr_2"), charge(user_id="usr_5"))).user_id == "usr_2"
    )


def test_a_copy_on_an_intent_names_the_user_of_a_purchase_without_other_references() -> None:
    bought = intent(user_id="usr_5", plan_code="basic")

    assert holders(project_facts(bought)) == {"usr_5"}
    assert holders(project_facts(customer("usr_2"), bought)) == {"usr_2"}
    assert only_payment(project_facts(bought)).user_id == "usr_5"


def test_a_payment_belongs_to_the_user_of_its_checkout() -> None:
    assert (
        only_payment(project_facts(customer("usr_2"), checkout(user_id="usr_3"), intent())).user_id
        == "usr_3"
    )


def test_a_payment_of_an_invoice_belongs_to_the_user_of_its_subscription() -> None:
    projection = project_facts(
        customer("usr_2"), subscription(user="usr_1"), invoice(payment_refs=("pi_1",)), intent()
    )

    assert only_payment(projection).user_id == "usr_1"


def test_a_fact_without_user_waits_and_takes_effect_when_the_link_arrives() -> None:
    waiting = project_facts(subscription(user=None))
    linked = project_facts(subscription(user=None), customer("usr_1", 5))

    assert waiting.waiting
    assert not waiting.entitlements
    assert waiting.subscriptions["test", "sub_1"].user_id is None
    assert not linked.waiting
    assert only_grant(linked).active


def test_a_waiting_grant_is_due_when_it_ends_by_itself() -> None:
    facts = [subscription("past_due", user=None)]

    assert project_facts(facts, now=DAY).waiting
    assert project_facts(facts, now=DAY).due_at == at(7 * DAY)
    assert not project_facts(facts, now=7 * DAY).waiting


def test_money_without_user_waits() -> None:
    assert project_facts(intent()).waiting
    assert not project_facts(intent("processing")).waiting
    assert not project_facts(intent(), customer("usr_1")).waiting


def test_a_source_without_grant_does_not_wait() -> None:
    assert not project_facts(subscription("canceled", user=None)).waiting


def test_a_purchase_without_customer_waits_under_its_payment() -> None:
    alone = {"customer": None}
    waiting = project_facts(checkout(user_id=None, how=alone), intent(how=alone))
    linked = project_facts(checkout(user_id=None, how=alone), intent(user_id="usr_1", how=alone))

    assert waiting.waiting
    assert waiting.payments["test", "pi_1"].user_id is None
    assert holders(linked) == {"usr_1"}


def test_a_changed_customer_moves_older_references() -> None:
    projection = project_facts(
        customer("usr_1", 0), subscription(user="usr_1", seconds=1), customer("usr_2", 5)
    )

    assert holders(projection) == {"usr_2"}
    assert named(projection) == {"usr_1", "usr_2"}


def test_a_change_is_seen_in_one_event_that_says_what_was_before() -> None:
    projection = project_facts(
        subscription(user="usr_1", seconds=1), checkout(2), customer("usr_2", 5, was="usr_1")
    )

    assert holders(projection) == {"usr_2"}


def test_a_change_takes_along_purchases_payments_and_features() -> None:
    before = [checkout(1), intent(seconds=1), summary("a", seconds=1), subscription(seconds=1)]
    projection = project_facts(customer("usr_1"), before, customer("usr_2", 5))

    assert {row.source for row in projection.entitlements.values() if row.active} == {
        "pi_1",
        "cus_1",
        "sub_1",
    }
    assert holders(projection) == {"usr_2"}
    assert only_payment(projection).user_id == "usr_2"
    assert projection.purchases["test", "pi_1"].user_id == "usr_2"
    assert projection.subscriptions["test", "sub_1"].user_id == "usr_2"


def test_a_purchase_after_the_change_belongs_to_its_buyer() -> None:
    projection = project_facts(
        customer("usr_1"), customer("usr_2", 5), checkout(9, user_id="usr_1")
    )

    assert holders(projection) == {"usr_1"}
    assert only_payment(projection).user_id == "usr_1"


def test_a_statement_made_after_the_change_stands() -> None:
    projection = project_facts(
        customer("usr_1", 0),
        customer("usr_2", 5),
        subscription(user="usr_1", seconds=1),
        subscription(user="usr_3", seconds=9),
    )

    assert holders(projection) == {"usr_3"}


def test_a_later_snapshot_that_repeats_an_old_statement_is_still_moved() -> None:
    projection = project_facts(
        customer("usr_1", 0),
        subscription(user="usr_1", seconds=1),
        customer("usr_2", 5),
        subscription(user="usr_1", seconds=9),
    )

    assert holders(projection) == {"usr_2"}


def test_a_first_link_moves_nothing() -> None:
    projection = project_facts(
        subscription(user="usr_1", seconds=1),
        customer(None, 0),
        customer("usr_2", 5, changed=True),
    )

    assert holders(projection) == {"usr_1"}


def test_taking_the_user_out_of_the_metadata_takes_nothing_back() -> None:
    projection = project_facts(customer("usr_1", 0), customer(None, 5), subscription(user=None))

    assert holders(projection) == {"usr_1"}


def test_a_customer_is_known_as_soon_as_anything_names_it() -> None:
    projection = project_facts(intent("processing"))

    assert projection.customers["test", "cus_1"].user_id is None


def test_a_subscription_without_customer_takes_it_from_its_invoice() -> None:
    projection = project_facts(customer("usr_1"), subscription(user=None, customer=None), invoice())

    assert projection.subscriptions["test", "sub_1"].stripe_customer_id == "cus_1"
    assert holders(projection) == {"usr_1"}


def test_a_subscription_without_customer_and_user_belongs_to_no_user() -> None:
    projection = project_facts(subscription(user=None, customer=None))

    assert projection.waiting
    assert not projection.customers


def test_every_user_that_was_ever_named_has_a_row() -> None:
    alone = {"customer": None}
    by_checkout = project_facts(
        subscribed(user_id="usr_3", how=alone), subscription(user="usr_1", customer=None)
    )
    by_session = project_facts(
        checkout(1, user_id="usr_1", how=alone), checkout(5, user_id="usr_2", how=alone)
    )

    assert named(by_checkout) == {"usr_1", "usr_3"}
    assert holders(by_checkout) == {"usr_1"}
    assert named(by_session) == {"usr_1", "usr_2"}
    assert holders(by_session) == {"usr_2"}


def test_a_statement_of_the_second_of_the_change_stands() -> None:
    projection = project_facts(
        customer("usr_1"), customer("usr_2", 5), subscription(user="usr_3", seconds=5)
    )

    assert holders(projection) == {"usr_3"}


def test_a_fact_without_user_does_not_end_a_reference() -> None:
    facts = [subscription(user=None, seconds=0), subscription(user="usr_1", seconds=5)]

    assert holders(project_facts(facts)) == {"usr_1"}


def test_one_thing_that_waits_is_enough_to_wait() -> None:
    facts = [
        subscription(user=None, customer=None, stripe_id="sub_1"),
        subscription(user="usr_1", customer=None, stripe_id="sub_2"),
    ]

    assert project_facts(facts).waiting
