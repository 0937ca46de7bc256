"""The user rule: links, the source's own words, its customer, what others named, copies."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from billing.catalogue import Catalogue, read_catalogue
from billing.facts import CustomerFields, Fact, Kind, Metadata
from billing.ids import ObjectKey, Realm
from billing.objects.ordering import order_facts
from billing.objects.store import RealmObjects
from billing.projection.invoices import match_invoices
from billing.projection.ownership import Ownership
from billing.rows import Projection
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    charge,
    checkout,
    customer,
    intent,
    invoice,
    invoice_payment,
    link,
    make_fact,
    naming,
    only_grant,
    only_payment,
    project_facts,
    subscribed,
    subscription,
    subscription_fields,
    summary,
)


def with_identity(**identity: list[str]) -> Catalogue:
    return replace(CATALOGUE, identity=read_catalogue({"identity": identity}).identity)


def ownership_of(*facts: Fact | list[Fact]) -> Ownership:
    objects = RealmObjects(realm=Realm("test"))
    histories: dict[tuple[Kind, ObjectKey], list[Fact]] = defaultdict(list)
    for fact in (one for each in facts for one in ([each] if isinstance(each, Fact) else each)):
        histories[fact.kind, fact.object_key].append(fact)
    for (kind, key), history in histories.items():
        objects.put(kind, key, order_facts(history))
    return Ownership(objects, match_invoices(objects), CATALOGUE.identity)


def make_customer(metadata: Metadata, seconds: float) -> Fact:
    fields = CustomerFields(metadata=metadata, deleted=False)
    return make_fact(Kind.CUSTOMER, "cus_1", fields, seconds)


def replace_fields(fact: Fact, **fields: Any) -> Fact:
    return replace(fact, fields=replace(fact.fields, **fields))


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
    assert projection.purchases["test", "cs_1", ""].user_id == "usr_3"


def test_a_session_that_waits_for_its_money_names_the_user_of_its_customer() -> None:
    projection = project_facts(
        checkout(9, user_id="usr_3", payment_status="unpaid", payment_intent=None),
        subscription(user=None),
    )

    assert holders(projection) == {"usr_3"}


def grant_of(projection: Projection, source: str) -> set[str]:
    rows = projection.entitlements.values()
    return {row.user_id for row in rows if row.active and row.source == source}


def test_a_copy_on_an_invoice_counts_where_nothing_else_does() -> None:
    projection = project_facts(subscription(user=None), invoice(user_id="usr_4"))

    assert holders(projection) == {"usr_4"}
    assert only_payment(projection).user_id == "usr_4"


def test_a_copy_on_an_invoice_gives_way_to_the_customer() -> None:
    projection = project_facts(customer("usr_2"), subscription(user=None), invoice(user_id="usr_4"))

    assert holders(projection) == {"usr_2"}
    assert named(projection) == {"usr_2", "usr_4"}


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
    assert projection.purchases["test", "pi_1", ""].user_id == "usr_2"
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


def test_a_payments_own_metadata_names_its_user_before_the_customer() -> None:
    bought = intent(user_id="usr_5", plan_code="basic")

    assert holders(project_facts(bought)) == {"usr_5"}
    assert holders(project_facts(customer("usr_2"), bought)) == {"usr_5"}
    assert only_payment(project_facts(customer("usr_2"), bought)).user_id == "usr_5"
    assert only_payment(project_facts(customer("usr_2"), charge(user_id="usr_5"))).user_id == (
        "usr_5"
    )


def test_the_metadata_of_a_checkout_comes_before_that_of_its_payment() -> None:
    projection = project_facts(checkout(user_id="usr_1"), intent(user_id="usr_5"))

    assert holders(projection) == {"usr_1"}
    assert only_payment(projection).user_id == "usr_1"


def test_an_invoices_own_metadata_names_the_user_of_what_it_sold() -> None:
    projection = project_facts(
        customer("usr_2"), invoice(subscription=None, user_id="usr_4", payment_refs=("pi_1",))
    )

    assert holders(projection) == {"usr_4"}
    assert {row.user_id for row in projection.payments.values()} == {"usr_4"}


class TestWords:
    """``[identity]``: which words name a user, and in which order over all objects."""

    def test_metadata_of_the_payment_comes_before_a_client_reference(self) -> None:
        # An affiliate tool writes a click id there (help.rewardful.com, 9014067).
        projection = project_facts(
            checkout(client_reference_id="click_1", user_id=None), intent(user_id="usr_1")
        )

        assert holders(projection) == {"usr_1"}
        assert only_payment(projection).user_id == "usr_1"

    def test_metadata_of_the_customer_comes_before_a_client_reference(self) -> None:
        projection = project_facts(
            customer("usr_2"), checkout(client_reference_id="click_1", user_id=None)
        )

        assert holders(projection) == {"usr_2"}

    def test_a_client_reference_names_the_user_where_no_metadata_does(self) -> None:
        bought = checkout(client_reference_id="usr_1", user_id=None)
        begun = subscribed(client_reference_id="usr_1", user_id=None)

        assert holders(project_facts(bought)) == {"usr_1"}
        assert holders(project_facts(begun, subscription(user=None, seconds=1))) == {"usr_1"}

    def test_the_order_of_the_words_can_be_turned_round(self) -> None:
        facts = [customer("usr_2"), checkout(client_reference_id="usr_1", user_id="usr_3")]
        catalogue = with_identity(user_from=["client_reference_id", "metadata"])

        assert holders(project_facts(facts, catalogue=catalogue)) == {"usr_1"}
        assert holders(project_facts(facts)) == {"usr_3"}

    def test_a_word_that_is_left_out_is_not_read(self) -> None:
        facts = [
            customer("usr_2"),
            customer("usr_3", 5),
            checkout(client_reference_id="click_1", user_id="usr_1"),
            subscription(user="usr_1"),
        ]
        by_reference = with_identity(user_from=["client_reference_id"])
        by_metadata = with_identity(user_from=["metadata"])

        assert named(project_facts(facts, catalogue=by_reference)) == {"click_1"}
        assert "click_1" not in named(project_facts(facts, catalogue=by_metadata))

    def test_the_first_key_that_is_there_names_the_user(self) -> None:
        catalogue = with_identity(metadata_keys=["uid", "user_id"])
        both = checkout(metadata=(("uid", "usr_1"), ("user_id", "usr_2")))
        one = checkout(metadata=(("user_id", "usr_2"),))

        assert holders(project_facts(both, catalogue=catalogue)) == {"usr_1"}
        assert holders(project_facts(one, catalogue=catalogue)) == {"usr_2"}
        assert holders(project_facts(both)) == {"usr_2"}

    def test_a_user_named_under_another_key_now_is_named_without_a_break(self) -> None:
        catalogue = with_identity(metadata_keys=["uid", "user_id"])
        renamed = [
            customer("usr_1", 0),
            make_customer((("uid", "usr_1"),), 5),
            customer("usr_2", 9),
        ]
        projection = project_facts(
            renamed, subscription(user="usr_1", seconds=7), catalogue=catalogue
        )

        assert holders(projection) == {"usr_2"}


class TestOthersUnderTheCustomer:
    """The users named by other objects of a customer, where source and customer name none."""

    def test_one_user_named_under_the_customer_is_the_user_of_everything_silent(self) -> None:
        # The same whether the word came before or after (stripe/stripe-cli#1320).
        for seconds in (1, 99):
            projection = project_facts(
                subscription(user="usr_1", seconds=seconds),
                subscription(user=None, seconds=50, stripe_id="sub_2"),
            )

            assert grant_of(projection, "sub_2") == {"usr_1"}

    def test_each_kind_of_object_can_name_the_user(self) -> None:
        silent = subscription(user=None, seconds=50, stripe_id="sub_2")
        for other in (
            checkout(user_id="usr_1"),
            checkout(user_id=None, client_reference_id="usr_1"),
            intent("processing", user_id="usr_1"),
            charge(user_id="usr_1", payment_intent=None),
            invoice(metadata=naming("usr_1")),
        ):
            assert grant_of(project_facts(other, silent), "sub_2") == {"usr_1"}

    def test_what_is_dated_before_a_second_user_was_named_is_the_firsts(self) -> None:
        facts = [subscription(user="usr_b", seconds=1), checkout(9, user_id="usr_a")]
        early = subscription(user=None, seconds=5, stripe_id="sub_2")
        late = subscription(user=None, seconds=9, stripe_id="sub_2")

        assert grant_of(project_facts(facts, early), "sub_2") == {"usr_b"}
        assert grant_of(project_facts(facts, late), "sub_2") == set()
        assert project_facts(facts, early).customers["test", "cus_1"].user_id == "usr_b"

    def test_what_is_later_waits_and_names_both_candidates(self) -> None:
        facts = [subscription(user="usr_b", seconds=1), checkout(9, user_id="usr_a")]
        late = subscription(user=None, seconds=10, stripe_id="sub_2")
        paid = intent(seconds=11, stripe_id="pi_2")
        projection = project_facts(facts, intent(), late, paid)

        assert projection.waiting
        assert projection.candidates == {
            "sub_2": ("usr_b", "usr_a"),
            "pi_2": ("usr_b", "usr_a"),
        }

    def test_two_users_named_in_one_second_leave_everything_waiting(self) -> None:
        facts = [checkout(9, user_id="usr_a"), subscription(user="usr_b", seconds=9)]
        silent = subscription(user=None, seconds=1, stripe_id="sub_2")
        projection = project_facts(facts, silent)

        assert projection.candidates == {"sub_2": ("usr_a", "usr_b")}
        assert projection.customers["test", "cus_1"].user_id is None

    def test_waiting_ends_when_the_customer_or_a_person_names_the_user(self) -> None:
        facts = [
            subscription(user="usr_b", seconds=1),
            checkout(9, user_id="usr_a"),
            subscription(user=None, seconds=10, stripe_id="sub_2"),
        ]

        for word in (customer("usr_c", 20), link("cus_1", "usr_c", 20), link("sub_2", "usr_c", 20)):
            projection = project_facts(facts, word)
            assert grant_of(projection, "sub_2") == {"usr_c"}
            assert not projection.candidates

    def test_the_client_reference_of_a_payment_link_speaks_for_its_checkout_alone(self) -> None:
        # The buyer can write it into the link's address (docs.stripe.com/payment-links).
        by_link = subscribed(
            user_id=None, client_reference_id="usr_1", payment_link="plink_premium"
        )
        projection = project_facts(
            by_link,
            subscription(user=None, seconds=1),
            subscription(user=None, seconds=2, stripe_id="sub_2"),
        )

        assert grant_of(projection, "sub_1") == {"usr_1"}
        assert projection.candidates == {"sub_2": ()}
        assert projection.customers["test", "cus_1"].user_id is None

    def test_the_metadata_of_a_payment_links_checkout_speaks_for_the_customer(self) -> None:
        by_link = checkout(user_id="usr_1", client_reference_id="x", payment_link="plink_premium")

        assert project_facts(by_link).customers["test", "cus_1"].user_id == "usr_1"

    def test_a_client_reference_gives_way_to_the_metadata_of_what_was_bought(self) -> None:
        # A click id is no second user under the customer.
        silent = subscription(user=None, seconds=50, stripe_id="sub_2")
        click: dict[str, Any] = {"user_id": None, "client_reference_id": "click_1"}

        for bought in (
            [subscribed(**click), subscription(user="usr_1", seconds=1)],
            [checkout(**click), intent(seconds=1, user_id="usr_1")],
            [checkout(**click, invoice="in_1"), invoice(1, metadata=naming("usr_1"))],
        ):
            projection = project_facts(bought, silent)
            assert grant_of(projection, "sub_2") == {"usr_1"}
            assert "click_1" in named(projection)

    def test_a_client_reference_gives_way_to_the_metadata_of_its_own_checkout(self) -> None:
        silent = subscription(user=None, seconds=50, stripe_id="sub_2")
        projection = project_facts(checkout(user_id="usr_1", client_reference_id="click_1"), silent)

        assert grant_of(projection, "sub_2") == {"usr_1"}

    def test_a_copy_gives_way_to_a_user_named_under_the_customer(self) -> None:
        billed = invoice(1, subscription="sub_2", user_id="usr_2")

        payments = project_facts(subscription(user="usr_1"), billed).payments
        assert {row.user_id for row in payments.values()} == {"usr_1"}

    def test_a_copy_decides_where_two_users_were_named_before(self) -> None:
        facts = [subscription(user="usr_b", seconds=1), checkout(9, user_id="usr_a")]
        silent = subscription(user=None, seconds=50, stripe_id="sub_2")
        billed = invoice(51, subscription="sub_2", user_id="usr_a")

        assert grant_of(project_facts(facts, silent, billed), "sub_2") == {"usr_a"}

    def test_features_of_a_customer_are_dated_by_their_first_list(self) -> None:
        facts = [subscription(user="usr_b", seconds=1), checkout(9, user_id="usr_a")]

        assert grant_of(project_facts(facts, summary("x", seconds=5)), "cus_1") == {"usr_b"}
        assert project_facts(facts, summary("x", seconds=9)).candidates == {
            "cus_1": ("usr_b", "usr_a")
        }

    def test_an_object_is_dated_by_its_own_second_and_not_by_the_event(self) -> None:
        # An endpoint that was made yesterday hears of old objects late.
        first = replace_fields(subscription(user="usr_b", seconds=50), own_created_at=at(1))
        second = checkout(9, user_id="usr_a")
        silent = replace_fields(intent(seconds=60, stripe_id="pi_2"), own_created_at=at(5))
        projection = project_facts(first, second, intent(), silent)

        assert projection.payments["test", "pi_2"].user_id == "usr_b"


class TestMoves:
    """A customer that changes from one user to another."""

    def test_a_move_takes_nothing_that_was_stated_for_another_user(self) -> None:
        # A shared customer: B's purchase stays B's (skillrecordings/products#1740).
        projection = project_facts(
            customer("usr_a"),
            subscription(user="usr_a", seconds=1),
            checkout(2, user_id="usr_b"),
            intent(seconds=2),
            customer("usr_c", 5, was="usr_a"),
        )

        assert grant_of(projection, "sub_1") == {"usr_c"}
        assert grant_of(projection, "pi_1") == {"usr_b"}
        assert only_payment(projection).user_id == "usr_b"

    def test_moves_follow_one_another(self) -> None:
        projection = project_facts(
            customer("usr_a"),
            subscription(user="usr_a", seconds=1),
            customer("usr_b", 5),
            checkout(6, user_id="usr_a"),
            customer("usr_c", 9),
        )

        assert grant_of(projection, "sub_1") == {"usr_c"}
        assert grant_of(projection, "pi_1") == {"usr_a"}

    def test_a_move_back_takes_its_things_back(self) -> None:
        projection = project_facts(
            customer("usr_a"),
            subscription(user="usr_a", seconds=1),
            customer("usr_b", 5),
            customer("usr_a", 9),
        )

        assert holders(projection) == {"usr_a"}

    def test_a_missed_change_shows_in_the_state_before_the_next_event(self) -> None:
        projection = project_facts(
            customer("usr_a"),
            subscription(user="usr_b", seconds=1),
            customer("usr_c", 5, was="usr_b"),
        )

        assert holders(projection) == {"usr_c"}

    def test_words_before_the_first_event_are_as_old_as_the_object(self) -> None:
        moved = replace_fields(subscription(user="usr_a", seconds=50), own_created_at=at(1))

        assert holders(project_facts(customer("usr_c", 5, was="usr_a"), moved)) == {"usr_c"}


class TestLinksOfPeople:
    """A person's word about an object or a customer."""

    def test_a_link_of_an_object_comes_before_its_own_words(self) -> None:
        for target in ("sub_1", "cs_1"):
            projection = project_facts(
                customer("usr_2"),
                subscribed(),
                subscription(seconds=1),
                link(target, "usr_9", 5),
            )

            assert holders(projection) == {"usr_9"}
            assert "usr_1" in named(projection)

    def test_a_link_of_the_subscription_comes_before_one_of_its_checkout(self) -> None:
        links = [link("sub_1", "usr_8", 5), link("cs_1", "usr_9", 6)]
        billed = [invoice(1, payment_refs=("pi_1",)), intent(seconds=1)]
        projection = project_facts(
            subscribed(invoice="in_1"), subscription(seconds=1), billed, links
        )

        assert holders(projection) == {"usr_8"}
        assert only_payment(projection).user_id == "usr_8"

    def test_a_link_of_any_object_of_a_purchase_is_one_of_all_of_it(self) -> None:
        bought = [checkout(), intent(), charge()]
        for target in ("cs_1", "pi_1", "ch_1"):
            projection = project_facts(bought, link(target, "usr_9", 5))

            assert holders(projection) == {"usr_9"}
            assert only_payment(projection).user_id == "usr_9"

    def test_a_link_of_a_subscriptions_payment_is_about_that_money_alone(self) -> None:
        billed = [invoice(1, payment_refs=("pi_1",)), intent(seconds=1)]
        for target in ("in_1", "pi_1"):
            projection = project_facts(subscription(), billed, link(target, "usr_9", 5))

            assert holders(projection) == {"usr_1"}
            assert only_payment(projection).user_id == "usr_9"

    def test_a_link_of_the_customer_comes_before_its_metadata_and_after_the_objects(self) -> None:
        projection = project_facts(
            customer("usr_2"),
            subscription(user=None),
            checkout(user_id="usr_1"),
            link("cus_1", "usr_9", 5),
        )

        assert grant_of(projection, "sub_1") == {"usr_9"}
        assert grant_of(projection, "pi_1") == {"usr_1"}
        assert projection.customers["test", "cus_1"].user_id == "usr_9"

    def test_a_link_of_the_customer_counts_where_metadata_is_not_read(self) -> None:
        catalogue = with_identity(user_from=["client_reference_id"])
        facts = [customer("usr_2"), subscription(), link("cus_1", "usr_9", 5)]

        assert holders(project_facts(facts, catalogue=catalogue)) == {"usr_9"}

    def test_a_link_moves_what_was_stated_for_the_customers_user_before(self) -> None:
        projection = project_facts(
            customer("usr_1"), subscription(seconds=1), link("cus_1", "usr_9", 5)
        )

        assert holders(projection) == {"usr_9"}

    def test_another_link_moves_what_was_stated_for_the_first(self) -> None:
        links = [link("cus_1", "usr_1", 5), link("cus_1", "usr_9", 20)]
        projection = project_facts(subscription(user="usr_1", seconds=10), links)

        assert holders(projection) == {"usr_9"}

    def test_links_of_one_second_move_one_after_the_other(self) -> None:
        links = [
            link("cus_1", "usr_b", 5, stripe_id="op_1"),
            link("cus_1", "usr_a", 5, stripe_id="op_2"),
        ]

        for bought in (subscription(user="usr_c"), subscription(user="usr_b")):
            assert holders(project_facts(customer("usr_c"), bought, links)) == {"usr_a"}

    def test_a_link_of_a_customer_that_said_nothing_moves_nothing(self) -> None:
        projection = project_facts(
            customer("usr_1", 9), subscription(seconds=1), link("cus_1", "usr_9", 5)
        )

        assert holders(projection) == {"usr_1"}

    def test_a_link_that_was_taken_back_counts_for_nothing(self) -> None:
        made, taken_back = link("cus_1", "usr_9", 5), link("cus_1", "usr_9", 5, ended=8)
        facts = [customer("usr_1"), subscription(seconds=1)]

        for said in ([taken_back], [made, taken_back]):
            projection = project_facts(facts, said)
            assert holders(projection) == {"usr_1"}
            assert named(projection) == {"usr_1", "usr_9"}

    def test_the_newest_link_that_stands_counts(self) -> None:
        links = [
            link("sub_1", "usr_8", 5),
            link("sub_1", "usr_9", 6),
            link("sub_1", "usr_7", 7, ended=9),
        ]

        assert holders(project_facts(subscription(), links)) == {"usr_9"}

    def test_a_link_moves_with_the_user_of_the_customer(self) -> None:
        billed = [invoice(1, payment_refs=("pi_1",)), intent(seconds=1)]
        said = [link("sub_1", "usr_8", 3), link("pi_1", "usr_8", 3)]
        moved = [customer("usr_8", 0), customer("usr_9", 5)]
        projection = project_facts(subscription(), billed, said, moved)

        assert holders(projection) == {"usr_9"}
        assert only_payment(projection).user_id == "usr_9"

    def test_a_link_of_the_second_of_the_metadata_comes_after_it(self) -> None:
        projection = project_facts(
            customer("usr_1", 5), subscription(seconds=1), link("cus_1", "usr_9", 5)
        )

        assert holders(projection) == {"usr_9"}

    def test_a_link_is_waited_for(self) -> None:
        silent = subscription(user=None)

        assert project_facts(silent).waiting
        assert holders(project_facts(silent, link("sub_1", "usr_9", 5))) == {"usr_9"}


def test_an_inferred_pair_decides_no_user() -> None:
    billed = invoice(1, subscription=None, user_id="usr_4")
    paid = intent(seconds=2, user_id="usr_5")
    projection = project_facts(billed, paid)

    assert only_payment(projection).inferred
    assert only_payment(projection).user_id == "usr_5"


def test_money_and_access_of_an_invoice_that_two_payments_paid_have_one_user() -> None:
    projection = project_facts(
        invoice(1, subscription=None, payment_refs=("pi_1", "pi_2"), amount_paid=5998),
        intent(seconds=1, user_id="usr_1"),
        intent(seconds=2, user_id="usr_2", stripe_id="pi_2"),
    )

    assert {row.user_id for row in projection.payments.values()} == {"usr_2"}
    assert holders(projection) == {"usr_2"}


def test_a_payment_of_an_unheard_invoice_has_the_user_of_the_subscription_that_names_it() -> None:
    facts = [
        subscription(user="usr_9", stripe_id="sub_0"),
        replace_fields(subscription(seconds=5), latest_invoice="in_1NabcdefghXYZ"),
        intent(seconds=9, order_reference="in_1Nabcdefgh"),
    ]

    assert only_payment(project_facts(facts)).user_id == "usr_1"
    assert only_payment(project_facts(facts[::2])).user_id == "usr_9"


def test_a_statement_for_the_old_user_in_the_second_of_the_change_stands() -> None:
    projection = project_facts(
        customer("usr_1"), customer("usr_2", 5), subscription(user="usr_1", seconds=5)
    )

    assert holders(projection) == {"usr_1"}


def test_a_statement_keeps_its_date_while_other_metadata_changes() -> None:
    projection = project_facts(
        customer("usr_1"),
        subscription(user="usr_1", seconds=1),
        customer("usr_2", 5),
        subscription(seconds=9, stated={"metadata": (("colour", "blue"), ("user_id", "usr_1"))}),
    )

    assert holders(projection) == {"usr_2"}


def test_a_user_who_was_cleared_before_the_first_event_is_as_old_as_the_object() -> None:
    cleared = subscription(user=None, seconds=50, before=subscription_fields(user="usr_1"))
    old = replace_fields(cleared, own_created_at=at(1))

    assert holders(project_facts(customer("usr_2", 5, was="usr_1"), old)) == {"usr_2"}


def test_of_two_checkouts_of_a_subscription_in_one_second_the_lower_user_id_counts() -> None:
    begun = [
        subscribed(1, stripe_id="cs_1", user_id="usr_b"),
        subscribed(1, stripe_id="cs_2", user_id="usr_a"),
    ]
    silent = subscription(user=None, seconds=1)

    assert holders(project_facts(begun, silent)) == {"usr_a"}
    assert holders(project_facts(begun[::-1], silent)) == {"usr_a"}


def test_a_subscription_is_of_the_customer_that_it_names_itself() -> None:
    projection = project_facts(
        customer("usr_1"),
        customer("usr_2", stripe_id="cus_2"),
        subscription(user=None),
        invoice(1, how={"customer": "cus_2"}),
    )

    assert holders(projection) == {"usr_1"}


def test_metadata_of_a_payment_comes_before_that_of_its_invoice() -> None:
    billed = invoice(1, subscription=None, user_id="usr_b", payment_refs=("pi_1",))
    projection = project_facts(billed, intent(seconds=1, user_id="usr_a"))

    assert holders(projection) == {"usr_a"}


def test_a_checkout_names_the_user_of_the_payment_of_its_invoice() -> None:
    projection = project_facts(
        customer("usr_2"),
        checkout(payment_intent=None, invoice="in_1", user_id="usr_3"),
        invoice(1, subscription=None, payment_refs=("pi_1",)),
        intent(seconds=1),
    )

    assert only_payment(projection).user_id == "usr_3"


def test_the_metadata_of_a_charge_is_a_copy_of_its_payments() -> None:
    # A silent subscription of the customer does not wait because the copy is older.
    projection = project_facts(
        intent(user_id="usr_1"),
        charge(user_id="usr_2"),
        subscription(user=None, seconds=9),
    )

    assert grant_of(projection, "sub_1") == {"usr_1"}


class TestOwnersOfLinkedObjects:
    """Every object around a payment has its owner, also where no row shows it."""

    def test_every_object_around_a_payment_has_one_owner(self) -> None:
        found = ownership_of(
            checkout(invoice="in_1", user_id="usr_1"),
            intent(user_id="usr_9", how={"customer": None}),
            charge(),
            invoice(1, subscription=None),
            invoice_payment(2),
        )

        owners = {found.of_paid(ref) for ref in ("cs_1", "pi_1", "ch_1", "in_1")}
        assert {owner.user_id for owner in owners} == {"usr_1"}
        assert len(owners) == 1

    def test_an_inferred_pair_has_two_owners(self) -> None:
        facts = [subscription(user="usr_b", seconds=1), checkout(9, payment_intent="pi_9")]
        for_bill = ownership_of(
            facts, intent(seconds=20, user_id="usr_c"), invoice(21, subscription=None)
        )
        for_money = ownership_of(
            facts, intent(seconds=20), invoice(21, subscription=None, user_id="usr_c")
        )

        assert for_bill.of_paid("in_1").candidates == ("usr_b", "usr_1", "usr_c")
        assert for_bill.of_paid("pi_1").user_id == "usr_c"
        assert for_money.of_paid("pi_1").candidates == ("usr_b", "usr_1", "usr_c")
        assert for_money.of_paid("in_1").user_id == "usr_c"

    def test_what_names_its_user_has_no_candidates(self) -> None:
        facts = [subscription(user="usr_b", seconds=1), checkout(9, user_id="usr_a")]
        silent = subscription(user=None, seconds=10, stripe_id="sub_2")
        billed = invoice(11, subscription="sub_2", payment_refs=("pi_2",))
        said = link("pi_2", "usr_c", 20)

        assert ownership_of(facts).of_paid("pi_1").candidates == ()
        waiting = ownership_of(facts, silent, billed)
        assert waiting.of_paid("pi_2") == waiting.of_subscription("sub_2")
        assert waiting.of_paid("pi_2").candidates == ("usr_b", "usr_a")
        linked = ownership_of(facts, silent, billed, said).of_paid("pi_2")
        assert (linked.user_id, linked.candidates) == ("usr_c", ())

    def test_whoever_could_have_been_the_user_before_an_object_was_known_is_known(self) -> None:
        # A payment is its own until the subscription that it pays for is known.
        found = ownership_of(
            subscription(user="usr_1"),
            invoice(1, payment_refs=("pi_1",), metadata=naming("usr_2")),
            intent(seconds=1, how={"customer": None}, user_id="usr_3"),
        )

        assert found.of_paid("pi_1").user_id == "usr_1"
        assert found.of_paid("pi_1").all_time == {"usr_1", "usr_2", "usr_3"}

    def test_a_client_reference_that_gives_way_could_have_counted(self) -> None:
        click: dict[str, Any] = {"user_id": None, "client_reference_id": "click_1"}
        projection = project_facts(
            checkout(**click),
            intent(seconds=1, user_id="usr_1"),
            subscription(user=None, seconds=50),
        )

        assert {
            row.user_id for row in projection.entitlements.values() if row.source == "sub_1"
        } == {
            "usr_1",
            "click_1",
        }
