"""A series of events is listed as any other events are, and writes each when it is asked for."""

import json

import pytest

from billing.envelope import parse
from billing.facts import CustomerFields
from billing.readers.registry import read_event
from tests.stripe.account import encoded_answer
from tests.stripe.company import Company, CompanyPlan, build_company
from tests.stripe.event_series import EventSeries, add_series
from tests.stripe.lists import Asked
from tests.stripe.state import FOREVER, Json

NOW = 1_795_302_000


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(CompanyPlan(subscribers=5, months=2, now=NOW))


@pytest.fixture(scope="module")
def series(company: Company) -> EventSeries:
    return add_series(company, 1_000_000)


def page(company: Company, query: str) -> Json:
    answered = company.stripe.respond(f"/v1/events?limit=100{query}", Asked(at=FOREVER))
    found: Json = json.loads(encoded_answer(answered))
    return found


def test_its_events_are_listed_among_the_others(company: Company, series: EventSeries) -> None:
    newest = next(company.listed.newest())
    around = f"&created[gte]={newest.created - 9}&created[lte]={newest.created + 9}"

    found = page(company, around)["data"]

    created = [each["created"] for each in found]
    assert created == sorted(created, reverse=True)
    ids = [each["id"] for each in found]
    assert newest.id in ids
    assert len(found) > 5
    assert any(series.place_of(each) for each in ids)


@pytest.mark.parametrize("number", [0, 1, 499_999, 999_999])
def test_each_of_a_million_is_found_by_its_id(
    company: Company, series: EventSeries, number: int
) -> None:
    event_id = series.id_of(number)

    _, event = company.stripe.answer(f"/v1/events/{event_id}")

    assert (event["id"], event["created"]) == (event_id, series.created_at(number))
    assert NOW - 29 * 86_400 <= event["created"] < NOW
    after = page(company, f"&type=customer.updated&starting_after={event_id}")
    expected = [series.id_of(each) for each in range(number - 1, max(number - 101, -1), -1)]
    assert [each["id"] for each in after["data"]][: len(expected)] == expected
    before = page(company, f"&type=customer.updated&ending_before={event_id}")
    newer = range(min(number + 100, 999_999), number, -1)
    assert [each["id"] for each in before["data"]] == [series.id_of(each) for each in newer]


def test_a_list_begins_with_the_last_of_them(company: Company, series: EventSeries) -> None:
    found = page(company, "&type=customer.updated")["data"]

    assert found[0]["id"] == series.id_of(999_999)


@pytest.mark.parametrize("event_id", ["evt_1", "evt_series1x1", "evt_series1x000000000001000000"])
def test_another_id_is_none_of_its(series: EventSeries, event_id: str) -> None:
    assert series.place_of(event_id) is None


def test_its_events_are_as_large_as_most_and_restate_a_customer(
    company: Company, series: EventSeries
) -> None:
    body = series.event(series.id_of(7))

    (fact,) = read_event(parse(body)).facts
    assert 3_000 < len(body) < 4_000
    assert isinstance(fact.fields, CustomerFields)
    family, customer = series.subject_of(series.id_of(7))
    assert (family, fact.object_key.endswith(customer)) == ("customer", True)
    assert (
        json.loads(body)["data"]["object"]["metadata"]
        == (company.stripe.answer(f"/v1/customers/{customer}")[1]["metadata"])
    )


def test_a_type_that_it_has_not_leaves_it_out(company: Company, series: EventSeries) -> None:
    found = page(company, "&type=invoice.paid")["data"]

    assert found
    assert not any(series.place_of(each["id"]) for each in found)
