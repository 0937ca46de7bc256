"""A gap is a difference between what Stripe shows and what was heard, and names it."""

from collections import Counter

import pytest

from ops.samples.worlds.records import Record
from tests.stripe.company import Company, CompanyPlan, build_company
from tests.stripe.gaps import KINDS, PlantedGap, heard_events, plant_gaps

NOW = 1_795_302_000
PLAN = CompanyPlan(subscribers=120, months=3, now=NOW)


@pytest.fixture(scope="module")
def planted() -> tuple[Company, list[PlantedGap]]:
    company = build_company(PLAN)
    return company, plant_gaps(company, 3 * len(KINDS))


def last_heard(company: Company, gaps: list[PlantedGap]) -> dict[str, Record]:
    return {each.heard.record.id: each.heard.record for each in heard_events(company, gaps)}


def test_each_kind_is_planted_in_turn_at_a_customer_of_its_own(
    planted: tuple[Company, list[PlantedGap]],
) -> None:
    _, gaps = planted

    assert Counter(gap.kind for gap in gaps) == dict.fromkeys(KINDS, 3)
    assert len({gap.customer for gap in gaps}) == len(gaps)
    assert len({gap.expected.name for gap in gaps}) == len(gaps)


@pytest.mark.parametrize("kind", KINDS)
def test_stripe_shows_what_was_not_heard(
    planted: tuple[Company, list[PlantedGap]], kind: str
) -> None:
    company, gaps = planted
    heard = last_heard(company, gaps)

    for gap in gaps:
        if gap.kind == kind and kind == "missing_event":
            (event,) = gap.events
            assert company.stripe.answer(f"/v1/events/{event.id}")[0] == 200
            assert heard[event.heard.record.id] == event.heard.record
        elif gap.kind == kind and kind == "unknown_there":
            assert gap.expected.name in heard
            assert company.stripe.state_of(gap.expected.name) is None
        elif gap.kind == kind:
            unheard = {each.heard.record.id for each in gap.events}
            assert unheard
            assert all(company.stripe.state_of(each) != heard.get(each) for each in unheard)


def test_unheard_events_are_listed_if_asked_for() -> None:
    silent, listing = build_company(PLAN), build_company(PLAN)

    (hidden,) = plant_gaps(silent, 1, kinds=["granted_not_paid"])
    (shown,) = plant_gaps(listing, 1, kinds=["granted_not_paid"], listed=True)

    assert hidden.stated() == shown.stated()
    assert all(silent.listed.place_of(each.id) is None for each in hidden.events)
    assert all(listing.listed.place_of(each.id) for each in shown.events)


def test_gaps_happen_before_the_companys_past_ends(
    planted: tuple[Company, list[PlantedGap]],
) -> None:
    _, gaps = planted

    assert all(event.created <= NOW for gap in gaps for event in gap.events)


def test_more_gaps_than_subscribers_are_refused() -> None:
    with pytest.raises(ValueError, match="too few subscribers"):
        plant_gaps(build_company(CompanyPlan(subscribers=2, months=1, now=NOW)), 20)
