"""Stripe's Python library knows every field, parameter and error that the fake Stripe has."""

import importlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal

import pytest
import stripe

from tests.stripe.account import FakeStripeAccount
from tests.stripe.company import Company, CompanyPlan, build_company
from tests.stripe.endpoints import render_endpoint
from tests.stripe.library_types import class_of, object_problems
from tests.stripe.limits import RateLimits
from tests.stripe.queries import COLLECTIONS
from tests.stripe.second_api import DESTINATIONS
from tests.stripe.server import KEY, failing, serving
from tests.stripe.state import Json

NOW = 1_795_302_000

BESIDE_THE_LIBRARY: Final = frozenset(
    {
        "charge.destination is unknown",
        "charge.dispute is unknown",
        "charge.order is unknown",
        "subscription.plan is unknown",
        "subscription.quantity is unknown",
    }
)
"""Fields that Stripe goes on to send though its library declares them no more."""
NOT_PRINTED: Final = frozenset(
    {
        "credit_note lacks amount_shipping",
        "credit_note lacks discount_amount",
        "credit_note lacks discount_amounts",
        "credit_note lacks number",
        "credit_note lacks pdf",
        "credit_note lacks pretax_credit_amounts",
        "credit_note_line_item lacks discount_amount",
        "credit_note_line_item lacks discount_amounts",
        "credit_note_line_item lacks pretax_credit_amounts",
        "credit_note_line_item lacks tax_rates",
        "dispute.evidence lacks enhanced_evidence",
        "dispute.evidence_details lacks enhanced_eligibility",
        "dispute.evidence_details lacks past_due",
        "dispute.evidence_details lacks submission_method",
        "invoice lacks automatic_tax",
        "line_item lacks subtotal",
        "subscription lacks automatic_tax",
        "subscription lacks billing_schedules",
    }
)
"""Fields that the worlds' printer leaves out. Nothing of Paidup reads them."""
LISTS: Final = (
    "customers",
    "subscriptions?status=all",
    "checkout/sessions?expand[]=data.line_items",
    "invoices?expand[]=data.payments",
    "payment_intents?expand[]=data.latest_charge",
    "charges?expand[]=data.customer",
    "refunds",
    "disputes",
    "credit_notes",
    "invoice_payments",
    "products",
    "prices",
    "products/prod_pro/features",
    "entitlements/features",
    "webhook_endpoints",
)


@pytest.fixture(scope="module")
def company() -> Company:
    built = build_company(CompanyPlan(subscribers=150, months=4, now=NOW))
    endpoint = render_endpoint("we_1", "https://shop.example/webhooks", ["invoice.paid"])
    built.stripe.put(endpoint)
    built.stripe.product_features["prod_pro"] = ["sso"]
    return built


def entries(account: FakeStripeAccount, request: str) -> Iterator[Json]:
    """Yield every entry of a list."""
    more, after, joined = True, "", "&" if "?" in request else "?"
    while more:
        status, page = account.answer(f"/v1/{request}{joined}limit=100{after}")
        assert status == 200, page
        yield from page["data"]
        more, after = page["has_more"], f"&starting_after={page['data'][-1]['id']}"


def problems(raw: Mapping[str, Any], api: Literal["V1", "V2"] = "V1") -> set[str]:
    return set(object_problems(raw, class_of(raw, api), str(raw["object"])))


def test_every_field_of_every_object_is_one_that_the_library_declares(company: Company) -> None:
    found = {
        problem
        for request in LISTS
        for raw in entries(company.stripe, request)
        for problem in problems(raw)
    }

    assert found == BESIDE_THE_LIBRARY | NOT_PRINTED


def test_every_event_is_one_that_the_library_declares(company: Company) -> None:
    found = set[str]()
    for event in islice(entries(company.stripe, "events"), 500):
        found |= problems({**event, "data": {**event["data"], "object": {}}})

    assert found == set()


def test_what_customers_hold_and_the_account_are_declared(company: Company) -> None:
    customer = next(iter(company.stripe.features))
    held = list(entries(company.stripe, f"entitlements/active_entitlements?customer={customer}"))
    (_, account) = company.stripe.answer("/v1/account")

    assert held
    assert [problem for each in held for problem in problems(each)] == []
    assert problems(account) == set()


def test_the_second_api_is_declared(company: Company) -> None:
    stated = {"type": "webhook_endpoint", "enabled_events": ["*"], "event_payload": "thin"}
    form = json.dumps({"name": "Ours", **stated})
    destination = company.stripe.write("POST", DESTINATIONS, form, NOW)
    _, page = company.stripe.answer("/v2/core/events?limit=1")

    assert problems(destination, "V2") == set()
    (event,) = page["data"]
    # The classes of single types declare the object that an event is about.
    assert problems(event, "V2") == {"v2.core.event.related_object is unknown"}


@pytest.mark.parametrize("path", sorted(COLLECTIONS))
def test_every_parameter_of_a_list_is_one_of_the_librarys(path: str) -> None:
    collection = COLLECTIONS[path]
    *folders, name = path.split("/")
    module = ".".join(["stripe.params", *folders, f"_{name.removesuffix('s')}_list_params"])
    declared = {
        parameter
        for kind, each in vars(importlib.import_module(module)).items()
        if kind.endswith("ListParams")
        for parameter in each.__annotations__
    }

    assert collection.params <= declared
    assert {"limit", "starting_after", "ending_before", "expand"} <= declared


@pytest.mark.servers
class TestTheLibraryAsAClient:
    @pytest.fixture
    def client(self, company: Company) -> Iterator[stripe.StripeClient]:
        with serving(account=company.stripe, clock=lambda: NOW) as self.api:
            yield stripe.StripeClient(
                KEY, base_addresses={"api": self.api.url}, max_network_retries=0
            )

    def test_pages_through_a_list(self, client: stripe.StripeClient) -> None:
        page = client.v1.customers.list({"limit": 40, "created": {"lte": NOW}})

        assert len(list(page.auto_paging_iter())) == 150
        assert len(self.api.asked) == 4

    def test_pages_through_thin_events(self, client: stripe.StripeClient) -> None:
        page = client.v2.core.events.list({"limit": 50, "types": ["v1.invoice.paid"]})

        found = list(page.auto_paging_iter())

        assert len(found) > 50
        assert {each.type for each in found} == {"v1.invoice.paid"}

    def test_makes_and_disables_an_endpoint(self, client: stripe.StripeClient) -> None:
        made = client.v1.webhook_endpoints.create(
            {"url": "https://a.example", "enabled_events": ["invoice.paid", "charge.failed"]}
        )
        changed = client.v1.webhook_endpoints.update(made.id, {"disabled": True})

        assert made.enabled_events == ["invoice.paid", "charge.failed"]
        assert changed.status == "disabled"
        assert client.v1.webhook_endpoints.delete(made.id).deleted is True

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (429, stripe.RateLimitError),
            (403, stripe.PermissionError),
            (401, stripe.AuthenticationError),
            (400, stripe.InvalidRequestError),
            (503, stripe.APIError),
        ],
    )
    def test_raises_what_a_status_means(
        self, client: stripe.StripeClient, status: int, error: type[Exception]
    ) -> None:
        self.api.next_faults.append(failing(status))

        with pytest.raises(error):
            client.v1.customers.list()

    def test_reads_a_limit_as_one(self, client: stripe.StripeClient) -> None:
        self.api.limits = RateLimits(endpoint=0)

        with pytest.raises(stripe.RateLimitError) as refused:
            client.v1.customers.list()

        headers = refused.value.headers
        assert headers is not None
        assert headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
