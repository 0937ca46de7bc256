"""A company repeats by its seed, and its API shows what its events led to."""

import tomllib
from collections import Counter
from itertools import pairwise

import pytest

from billing.catalogue import read_catalogue
from billing.envelope import parse
from billing.readers.registry import read_event
from ops.samples.scenario import DAY
from ops.samples.worlds.endpoints import WorldEndpoint
from ops.samples.worlds.records import Invoice, Subscription
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.world import World, WorldPlan
from tests.stripe.company import (
    Company,
    CompanyPlan,
    build_company,
    events_of,
    plans_text,
)
from tests.stripe.state import Json
from tests.stripe.subscriber import MONTH
from tests.worlds.compare import failures

NOW = 1_795_302_000
PLAN = CompanyPlan(subscribers=50, months=6, now=NOW)


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(PLAN)


def listed(company: Company, request: str) -> list[Json]:
    """Return every entry of a list."""
    found: list[Json] = []
    joined = "&" if "?" in request else "?"
    more = True
    while more:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        _, page = company.stripe.answer(f"{request}{joined}limit=100{after}")
        found += page["data"]
        more = page["has_more"]
    return found


def test_a_company_repeats_by_its_seed(company: Company) -> None:
    again, another = build_company(PLAN), build_company(CompanyPlan(**{**vars(PLAN), "seed": "2"}))

    ids = [event.id for event in company.events()]
    assert ids == [event.id for event in again.events()]
    assert not set(ids) & {event.id for event in another.events()}


def test_every_event_is_one_that_we_read_and_comes_in_order(company: Company) -> None:
    events = list(company.events())

    assert all(before.created <= after.created <= NOW for before, after in pairwise(events))
    assert len({event.id for event in events}) == len(events) > 50 * 6 * 5
    assert all(read_event(parse(event.delivery().body)).facts for event in events[::50])


def test_the_api_shows_an_object_as_its_last_event_did(company: Company) -> None:
    last = {
        record["id"]: record
        for event in company.events()
        if isinstance(event.heard.record, Subscription | Invoice)
        for record in [event.payload()["data"]["object"]]
    }

    shown = listed(company, "/v1/subscriptions?status=all") + listed(company, "/v1/invoices")

    assert {each["id"]: each for each in shown} == last


def test_only_events_of_the_last_thirty_days_are_listed(company: Company) -> None:
    since = NOW - 30 * DAY
    sent = [event.id for event in company.events() if event.created >= since]

    assert sorted(each["id"] for each in listed(company, "/v1/events")) == sorted(sent)
    status, found = company.stripe.answer(f"/v1/events/{sent[0]}")
    assert (status, found["id"]) == (200, sent[0])


def test_a_company_has_of_everything_that_happens_to_one() -> None:
    company = build_company(CompanyPlan(subscribers=300, months=6, now=NOW))

    families = Counter(key[0] for key in company.stripe.orders if len(key) == 1)
    statuses = Counter(each["status"] for each in listed(company, "/v1/subscriptions?status=all"))
    assert families.keys() == {
        "charge",
        "checkout.session",
        "credit_note",
        "customer",
        "dispute",
        "invoice",
        "invoice_payment",
        "payment_intent",
        "refund",
        "subscription",
    }
    assert {"active", "canceled"} <= statuses.keys()
    assert company.stripe.features
    assert {each.named for each in company.subscribers} == {
        "customer",
        "objects",
        "references",
        "nowhere",
    }


def test_the_truth_tells_the_access_and_the_money_of_each_user(company: Company) -> None:
    truth = company.truth

    received = sum(row.received for end in truth.ends for row in end.money)
    charged = [each for each in listed(company, "/v1/charges") if each["status"] == "succeeded"]
    assert received == sum(each["amount_captured"] for each in charged)
    assert 20 < len(truth.features) <= 50


def test_billing_ends_where_the_truth_does(company: Company) -> None:
    found = []
    for subscriber, end in zip(company.subscribers, company.truth.ends, strict=True):
        world = World(
            plan=WorldPlan(
                seed="1",
                release=PLAN.release,
                endpoint=WorldEndpoint("everything"),
                users=(subscriber.user,),
                moves=(),
            ),
            events=tuple(event.delivery() for event in events_of(subscriber)),
            document=company.document,
            former=(),
            now=NOW,
            ends=(end,),
            accounts=(subscriber.account,),
        )
        found += failures(world, shuffles=0)

    assert found == []


def test_events_may_have_an_older_shape_than_objects() -> None:
    plan = CompanyPlan(subscribers=3, months=2, now=NOW, release=ApiRelease.V2024)
    company = build_company(plan)

    events = [event.payload() for event in company.events()]
    subscriptions = [
        event["data"]["object"] for event in events if "customer.subscription" in event["type"]
    ]
    assert {event["api_version"] for event in events} == {"2024-06-20"}
    assert not any(event["type"].startswith("invoice_payment.") for event in events)
    assert all("current_period_end" in each for each in subscriptions)
    shown = listed(company, "/v1/subscriptions?status=all")
    assert not any("current_period_end" in each for each in shown)
    assert len(listed(company, "/v1/invoice_payments")) > 0


def test_a_subscriber_who_arrives_later_is_listed_and_sends_events() -> None:
    company = build_company(CompanyPlan(subscribers=2, months=2, now=NOW))

    events = company.arrive(NOW + 60)

    assert events[0].type == "customer.created"
    assert all(NOW + 60 <= event.created < NOW + 60 + MONTH for event in events)
    assert listed(company, "/v1/customers")[0]["id"] == events[0].payload()["data"]["object"]["id"]
    assert {event.id for event in events} <= {each["id"] for each in listed(company, "/v1/events")}


def test_live_mode_and_a_connected_account_are_named_in_everything() -> None:
    plan = CompanyPlan(subscribers=1, months=1, now=NOW, livemode=True, connected="acct_1Other")
    company = build_company(plan)

    payload = next(company.events()).payload()
    assert (payload["account"], payload["livemode"]) == ("acct_1Other", True)
    assert payload["data"]["object"]["livemode"] is True
    assert all(each["livemode"] for each in listed(company, "/v1/customers"))


def test_its_plans_are_a_catalogue(company: Company) -> None:
    document = tomllib.loads(plans_text(company.document))

    assert {plan.code for plan in read_catalogue(document).plans} == set(company.document["plans"])


def test_only_customers_whose_subscription_runs_have_features() -> None:
    company = build_company(CompanyPlan(subscribers=300, months=12, now=NOW))
    status = {
        held.customer: held.status
        for each in company.subscribers
        for held in each.account.of(Subscription)
    }

    featured = {
        customer: bool(states[-1][1]) for customer, states in company.stripe.features.items()
    }

    assert featured == {customer: status[customer] != "canceled" for customer in featured}
    assert set(featured.values()) == {True, False}
