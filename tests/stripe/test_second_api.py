"""The second API lists thin events and the destinations of events, page by page."""

import json
from typing import Any

import pytest

from tests.stripe.account import FakeStripeAccount
from tests.stripe.company import Company, CompanyPlan, build_company
from tests.stripe.refusals import StripeRefusal
from tests.stripe.second_api import DESTINATIONS, EVENTS
from tests.stripe.state import Json, moment

NOW = 1_795_302_000


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(CompanyPlan(subscribers=5, months=2, now=NOW))


def ask(account: FakeStripeAccount, request: str) -> Json:
    status, body = account.answer(request)
    assert status == 200, body
    return body


def write(account: FakeStripeAccount, method: str, path: str, **stated: Any) -> Json:
    return account.write(method, path, json.dumps(stated), NOW)


def test_events_are_listed_newest_first_over_all_pages(company: Company) -> None:
    found, page = [], f"{EVENTS}?limit=7"
    while page:
        body = ask(company.stripe, page)
        found += body["data"]
        page = body["next_page_url"]

    sent = [event for event in company.events() if event.created >= NOW - 30 * 86_400]
    assert {each["snapshot_event"] for each in found} == {event.id for event in sent}
    assert found == sorted(found, key=lambda each: str(each["created"]), reverse=True)


def test_events_are_those_of_an_object_a_type_and_a_time(company: Company) -> None:
    (_, newest) = [event for event in company.events() if event.type == "invoice.paid"][-2:]
    invoice = newest.heard.record.id

    of_object = ask(company.stripe, f"{EVENTS}?object_id={invoice}&limit=100")["data"]
    of_type = ask(company.stripe, f"{EVENTS}?object_id={invoice}&types[]=v1.invoice.paid")["data"]

    assert {each["related_object"]["id"] for each in of_object} == {invoice}
    assert [each["snapshot_event"] for each in of_type] == [newest.id]
    at = moment(newest.created).isoformat().replace("+00:00", "Z")
    expected = {"gt": 0, "gte": 1, "lt": 0, "lte": 1}
    for bound, number in expected.items():
        query = f"object_id={invoice}&types[]=v1.invoice.paid&created[{bound}]={at}"
        assert len(ask(company.stripe, f"{EVENTS}?{query}")["data"]) == number, bound


def test_a_page_keeps_the_filters_of_the_first(company: Company) -> None:
    page = ask(
        company.stripe, f"{EVENTS}?types[]=v1.invoice.paid&limit=1&created[gt]=2020-01-01T00:00:00Z"
    )

    following = ask(company.stripe, page["next_page_url"])

    assert [each["type"] for each in page["data"] + following["data"]] == ["v1.invoice.paid"] * 2


def test_an_event_is_retrieved_by_its_id(company: Company) -> None:
    (listed,) = ask(company.stripe, f"{EVENTS}?limit=1")["data"]

    assert ask(company.stripe, f"{EVENTS}/{listed['id']}") == listed
    assert company.stripe.answer(f"{EVENTS}/evt_none")[0] == 404


def test_events_that_an_account_learned_are_listed_too() -> None:
    account = FakeStripeAccount()
    payload = {
        "id": "evt_1",
        "type": "customer.created",
        "created": NOW,
        "livemode": False,
        "data": {"object": {"id": "cus_1", "object": "customer"}},
    }
    account.thin_event(payload)

    found = ask(account, f"{EVENTS}?object_id=cus_1")["data"]

    assert [each["id"] for each in found] == ["evt_1thin"]


def test_destinations_are_made_listed_changed_and_removed() -> None:
    account = FakeStripeAccount()
    stated = {"enabled_events": ["v1.invoice.paid"], "event_payload": "thin", "name": "Ours"}

    made = write(account, "POST", DESTINATIONS, type="webhook_endpoint", **stated)
    one = f"{DESTINATIONS}/{made['id']}"

    assert ask(account, DESTINATIONS)["data"] == [made]
    assert write(account, "POST", f"{one}/disable")["status"] == "disabled"
    assert write(account, "POST", f"{one}/enable")["status"] == "enabled"
    assert write(account, "POST", one, name="Another")["name"] == "Another"
    assert ask(account, one)["name"] == "Another"
    assert write(account, "DELETE", one)["deleted"] is True
    assert account.answer(one)[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "stated", "code"),
    [
        ("POST", DESTINATIONS, {"colour": "red"}, "parameter_unknown"),
        ("POST", DESTINATIONS, {"name": "x"}, "parameter_missing"),
        ("POST", f"{DESTINATIONS}/ed_none", {}, "not_found"),
        ("GET", f"{EVENTS}?customer=cus_1", {}, "parameter_unknown"),
        ("GET", f"{EVENTS}?limit=0", {}, "parameter_invalid"),
        ("GET", f"{EVENTS}?" + "types[]=a&" * 21, {}, "parameter_invalid"),
    ],
)
def test_what_it_does_not_know_is_refused(method: str, path: str, stated: Json, code: str) -> None:
    with pytest.raises(StripeRefusal) as refused:
        write(FakeStripeAccount(), method, path, **stated)

    assert refused.value.error["code"] == code
