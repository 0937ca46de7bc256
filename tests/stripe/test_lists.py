"""A list is newest first, in pages, and takes the filters that Stripe's takes and no other."""

from typing import Any

import pytest

from ops.samples.scenario import DAY
from ops.samples.worlds.offers import BASIC, LIFETIME, PRO
from ops.samples.worlds.records import (
    Charge,
    Customer,
    Intent,
    Invoice,
    InvoicePayment,
    Record,
    Refund,
    Session,
    Subscription,
    SubscriptionItem,
)
from tests.stripe.account import FakeStripeAccount, encoded_answer
from tests.stripe.lists import Asked
from tests.stripe.state import FOREVER, Json, moment

NOW = 1_795_302_000


def customer(number: int, created: int = NOW) -> Customer:
    return Customer(id=f"cus_{number}", created=created, metadata={"user_id": f"usr_{number}"})


def subscription(number: int, status: str = "active", of: str = "cus_1") -> Subscription:
    item = SubscriptionItem(id=f"si_{number}", offer=PRO, quantity=1, start=NOW, end=NOW + DAY)
    return Subscription(
        id=f"sub_{number}", customer=of, created=NOW + number, status=status, items=(item,)
    )


def invoice(number: int, status: str = "paid") -> Invoice:
    return Invoice(
        id=f"in_{number}",
        customer="cus_1",
        created=NOW,
        status=status,
        lines=(),
        reason="subscription_cycle",
        subscription=f"sub_{number}",
    )


def intent(number: int, of: str = "cus_1") -> Intent:
    return Intent(
        id=f"pi_{number}", customer=of, created=NOW, status="succeeded", amount=5, invoice="in_1"
    )


def account_with(*states: Record | Json) -> FakeStripeAccount:
    account = FakeStripeAccount()
    for state in states:
        account.keep(state)
    return account


def ask(account: FakeStripeAccount, request: str) -> Json:
    status, body = account.answer(request)
    assert status == 200, body
    return body


def ids(account: FakeStripeAccount, request: str) -> list[str]:
    return [each["id"] for each in ask(account, request)["data"]]


def refusal(account: FakeStripeAccount, request: str) -> tuple[int, str, str]:
    status, body = account.answer(request)
    return status, body["error"]["code"], body["error"]["param"]


class TestPages:
    account = account_with(*(customer(number, NOW + number // 2) for number in range(25)))

    def test_begin_with_the_newest_and_have_ten_entries(self) -> None:
        page = ask(self.account, "/v1/customers")

        assert [each["id"] for each in page["data"]] == [f"cus_{n}" for n in range(24, 14, -1)]
        assert (page["object"], page["has_more"], page["url"]) == ("list", True, "/v1/customers")

    def test_lead_from_one_to_the_next_through_objects_of_one_second(self) -> None:
        found, after = [], ""
        while True:
            page = ask(self.account, f"/v1/customers?limit=7{after}")
            found += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                break
            after = f"&starting_after={found[-1]}"

        assert found == [f"cus_{number}" for number in range(24, -1, -1)]

    def test_before_an_object_are_those_just_newer(self) -> None:
        page = ask(self.account, "/v1/customers?limit=3&ending_before=cus_9")

        assert [each["id"] for each in page["data"]] == ["cus_12", "cus_11", "cus_10"]
        assert page["has_more"] is True

    @pytest.mark.parametrize(("limit", "more"), [(24, True), (25, False), (26, False)])
    def test_say_whether_more_follow(self, limit: int, more: object) -> None:
        assert ask(self.account, f"/v1/customers?limit={limit}")["has_more"] is more

    def test_before_the_newest_is_nothing(self) -> None:
        page = ask(self.account, "/v1/customers?ending_before=cus_24")

        assert (page["data"], page["has_more"]) == ([], False)

    def test_are_no_longer_than_the_account_gives(self) -> None:
        account = account_with(*(customer(number) for number in range(5)))
        account.page_size = 2

        assert ids(account, "/v1/customers?limit=100") == ["cus_4", "cus_3"]

    def test_go_on_where_they_were_though_newer_objects_came(self) -> None:
        account = account_with(*(customer(number) for number in range(4)))
        first = ids(account, "/v1/customers?limit=2")

        account.keep(customer(9, NOW + 9))

        assert first == ["cus_3", "cus_2"]
        assert ids(account, "/v1/customers?starting_after=cus_2") == ["cus_1", "cus_0"]
        assert ids(account, "/v1/customers?ending_before=cus_3") == ["cus_9"]

    def test_keep_an_object_where_it_was_made_though_it_changed(self) -> None:
        account = account_with(customer(1), customer(2), customer(1))

        assert ids(account, "/v1/customers") == ["cus_2", "cus_1"]

    def test_show_what_was_there_at_the_time(self) -> None:
        account = FakeStripeAccount()
        account.keep(customer(1), moment(NOW))
        account.keep(customer(2), moment(NOW + 5))

        _, body = account.answer("/v1/customers", at=moment(NOW + 4))

        assert [each["id"] for each in body["data"]] == ["cus_1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("created[gte]=12&created[lt]=14", [13, 12]),
        ("created[gt]=12&created[lte]=14", [14, 13]),
        ("created=12", [12]),
        ("created[lte]=12&starting_after=cus_11", [10]),
        ("created[gte]=12&ending_before=cus_13", [14]),
        ("created[lt]=12&ending_before=cus_10", [11]),
    ],
)
def test_created_bounds_a_list(query: str, expected: list[int]) -> None:
    account = account_with(*(customer(number, number) for number in range(10, 15)))

    assert ids(account, f"/v1/customers?{query}") == [f"cus_{number}" for number in expected]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("/v1/customers", ["cus_1", "cus_2"]),
        ("/v1/subscriptions", ["sub_3", "sub_1"]),
        ("/v1/subscriptions?status=all", ["sub_4", "sub_3", "sub_2", "sub_1"]),
        ("/v1/subscriptions?status=canceled", ["sub_4", "sub_2"]),
        ("/v1/subscriptions?status=ended", ["sub_4", "sub_2"]),
        ("/v1/subscriptions?customer=cus_1&status=all", ["sub_3", "sub_2", "sub_1"]),
        ("/v1/invoices?subscription=sub_1", ["in_1"]),
        ("/v1/invoices?subscription=sub_2&customer=cus_1&status=paid", []),
        ("/v1/invoices?subscription=sub_2&customer=cus_1", ["in_2"]),
        ("/v1/invoices?subscription=sub_2&customer=cus_2", []),
        ("/v1/payment_intents?customer=cus_2", ["pi_2"]),
        ("/v1/charges?payment_intent=pi_1", ["ch_1"]),
        ("/v1/refunds?charge=ch_1", ["re_1"]),
        ("/v1/refunds?charge=ch_2", []),
        ("/v1/invoice_payments?invoice=in_1&payment[type]=payment_intent", ["inpay_1"]),
        ("/v1/invoice_payments?payment[payment_intent]=pi_1", ["inpay_1"]),
        ("/v1/checkout/sessions?payment_intent=pi_1", ["cs_1"]),
        ("/v1/checkout/sessions?status=open", []),
        ("/v1/customers?email=usr_1%40example.com", ["cus_1"]),
        ("/v1/disputes", []),
        ("/v1/credit_notes?invoice=in_1", []),
    ],
)
def test_other_parameters_narrow_a_list(request_: str, expected: list[str]) -> None:
    account = account_with(
        customer(1),
        customer(2),
        Customer(id="cus_3", created=NOW, deleted=True),
        *(subscription(number, status) for number, status in ((1, "active"), (3, "past_due"))),
        *(subscription(2, "canceled"), subscription(4, "canceled", of="cus_2")),
        *(invoice(1), invoice(2, "open"), intent(1), intent(2, "cus_2")),
        Charge(
            id="ch_1", customer="cus_1", created=NOW, status="succeeded", amount=5, intent="pi_1"
        ),
        Refund(id="re_1", charge="ch_1", intent="pi_1", created=NOW, amount=5, status="succeeded"),
        InvoicePayment(id="inpay_1", invoice="in_1", intent="pi_1", amount=5, created=NOW),
        Session(
            id="cs_1",
            created=NOW,
            mode="payment",
            status="complete",
            payment_status="paid",
            amount=5,
            intent="pi_1",
        ),
    )

    assert sorted(ids(account, request_)) == sorted(expected)


def event(number: int, event_type: str = "invoice.paid") -> dict[str, Any]:
    return {"id": f"evt_{number}", "object": "event", "type": event_type, "created": NOW + number}


class TestEvents:
    account = account_with(
        event(1), event(2, "customer.created"), event(3, "invoice.created"), event(4)
    )

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", ["evt_4", "evt_3", "evt_2", "evt_1"]),
            ("type=invoice.paid", ["evt_4", "evt_1"]),
            ("type=invoice.*", ["evt_4", "evt_3", "evt_1"]),
            ("types[]=customer.created&types[]=invoice.created", ["evt_3", "evt_2"]),
            ("types[0]=customer.created&types[1]=invoice.created", ["evt_3", "evt_2"]),
            ("delivery_success=false", ["evt_3"]),
            ("delivery_success=true&type=invoice.*", ["evt_4", "evt_1"]),
        ],
    )
    def test_are_listed_by_type_and_delivery(self, query: str, expected: list[str]) -> None:
        self.account.undelivered = {"evt_3"}

        assert ids(self.account, f"/v1/events?{query}") == expected

    def test_are_gone_from_the_list_after_thirty_days(self) -> None:
        asked = Asked(at=FOREVER, now=NOW + 30 * DAY + 3)

        found = self.account.respond("/v1/events", asked)

        assert [each["id"] for each in found["data"]] == ["evt_4", "evt_3"]

    def test_of_more_than_twenty_types_are_refused(self) -> None:
        query = "&".join(f"types[]=a.{number}" for number in range(21))

        assert refusal(self.account, f"/v1/events?{query}")[2] == "types"


class TestExpansion:
    account = account_with(
        invoice(1),
        intent(1),
        customer(1),
        InvoicePayment(id="inpay_1", invoice="in_1", intent="pi_1", amount=5, created=NOW),
    )

    def test_shows_the_payments_of_invoices(self) -> None:
        (listed,) = ask(self.account, "/v1/invoices?expand[]=data.payments")["data"]

        assert [each["id"] for each in listed["payments"]["data"]] == ["inpay_1"]
        assert "payments" not in ask(self.account, "/v1/invoices")["data"][0]

    def test_shows_an_object_for_its_id(self) -> None:
        (listed,) = ask(self.account, "/v1/payment_intents?expand[]=data.customer")["data"]

        assert listed["customer"]["object"] == "customer"

    def test_shows_the_lines_of_checkouts(self) -> None:
        account = FakeStripeAccount()
        account.put({"id": "cs_1", "object": "checkout.session", "created": NOW})
        account.sell("cs_1", LIFETIME)

        (listed,) = ask(account, "/v1/checkout/sessions?expand[]=data.line_items")["data"]

        assert [each["price"]["id"] for each in listed["line_items"]["data"]] == [LIFETIME.price]

    def test_goes_no_deeper_than_four_levels(self) -> None:
        _, body = self.account.answer("/v1/payment_intents?expand[]=data.a.b.c.d")

        assert body["error"]["message"].startswith("You cannot expand more than 4 levels")

    @pytest.mark.parametrize("expand", ["payments", "data.nothing", "data.payments.data"])
    def test_of_what_cannot_be_expanded_is_refused(self, expand: str) -> None:
        assert refusal(self.account, f"/v1/invoices?expand[]={expand}")[2] == "expand"


def test_a_deleted_customer_is_shown_as_deleted() -> None:
    account = account_with(Customer(id="cus_3", created=NOW, deleted=True))

    shown = ask(account, "/v1/customers/cus_3")

    assert shown == {"id": "cus_3", "object": "customer", "deleted": True}


class TestGoods:
    account = FakeStripeAccount(prices=[BASIC, PRO, LIFETIME])

    def test_are_products_prices_and_features(self) -> None:
        self.account.features["cus_1"] = [(moment(NOW), ["sso"])]

        assert len(ids(self.account, "/v1/products")) == 3
        assert ids(self.account, "/v1/prices?product=prod_pro&active=true") == [PRO.price]
        assert ids(self.account, "/v1/prices?type=one_time") == [LIFETIME.price]
        assert ids(self.account, "/v1/entitlements/features") == ["feat_test_sso"]
        assert ids(self.account, "/v1/entitlements/active_entitlements?customer=cus_1") == [
            "ent_test_1_sso"
        ]

    def test_have_the_features_of_products(self) -> None:
        account = FakeStripeAccount(prices=[PRO], product_features={"prod_pro": ["sso", "audit"]})

        found = ask(account, "/v1/products/prod_pro/features")["data"]

        assert [each["entitlement_feature"]["lookup_key"] for each in found] == ["sso", "audit"]
        assert ask(account, "/v1/products/prod_basic/features")["data"] == []
        assert len(ids(account, "/v1/entitlements/features")) == 2

    def test_are_retrieved_one_by_one(self) -> None:
        assert ask(self.account, "/v1/prices/price_pro_m")["product"] == "prod_pro"
        assert ask(self.account, "/v1/products/prod_pro")["object"] == "product"
        assert refusal(self.account, "/v1/prices/price_x")[0] == 404


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        ("/v1/customers?updated[gt]=5", "parameter_unknown", "updated"),
        ("/v1/customers?created[since]=5", "parameter_unknown", "created[since]"),
        ("/v1/customers?status=all", "parameter_unknown", "status"),
        ("/v1/customers?limit=0", "parameter_invalid", "limit"),
        ("/v1/customers?limit=101", "parameter_invalid", "limit"),
        ("/v1/customers?limit=x", "parameter_invalid_integer", "limit"),
        ("/v1/subscriptions?status=gone", "parameter_invalid", "status"),
        ("/v1/customers?starting_after=cus_8", "resource_missing", "starting_after"),
        ("/v1/customers?ending_before=cus_8", "resource_missing", "ending_before"),
        (
            "/v1/customers?ending_before=cus_1&starting_after=cus_1",
            "parameter_invalid",
            "ending_before",
        ),
        ("/v1/entitlements/active_entitlements", "parameter_missing", "customer"),
        ("/v1/subscription_items", "parameter_missing", "subscription"),
        ("/v1/subscription_items?subscription=sub_8", "resource_missing", "subscription"),
        ("/v1/events?type=a.b&types[]=a.b", "parameter_invalid", "types"),
    ],
)
def test_a_parameter_that_stripe_would_refuse_is_refused(
    request_: str, code: str, param: str
) -> None:
    assert refusal(account_with(customer(1)), request_) == (400, code, param)


def test_entries_that_are_json_already_join_the_others() -> None:
    page = {"object": "list", "data": [b'{"id":"a"}', {"id": "b"}], "has_more": False}

    assert encoded_answer(page) == (
        b'{"data": [{"id":"a"},{"id": "b"}], "object": "list", "has_more": false}'
    )
