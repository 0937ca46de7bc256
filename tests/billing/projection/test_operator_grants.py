"""A grant of a person is a source of its own: it begins, ends and is taken back as people say."""

from dataclasses import replace

import pytest

from billing.catalogue import Catalogue, read_catalogue
from billing.projection.operator_grants import FEATURES_PLAN
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    customer,
    granted,
    only_grant,
    project_facts,
    subscription,
)

TEAM = read_catalogue({"plans": {"team": {"features": {"devices": 3}, "per_seat": ["devices"]}}})


def test_a_plan_is_given_until_its_end() -> None:
    row = only_grant(project_facts(granted(until=20 * DAY, event="op_1")))

    assert (row.user_id, row.source, row.plan_code) == ("usr_1", "grant_1", "premium")
    assert (row.active, row.starts_at, row.expires_at) == (True, at(0), at(20 * DAY))
    assert row.event_id == "op_1"
    assert row.because == "cli:ada gave this: four months for the outage"


def test_it_ends_by_the_clock() -> None:
    given = granted(until=DAY)
    row = only_grant(project_facts(given, now=DAY))

    assert not row.active
    assert row.expires_at == at(DAY)
    assert row.because == (
        "This grant has ended, as cli:ada said when giving it: four months for the outage"
    )
    assert only_grant(project_facts(given, now=DAY - 1)).active
    assert project_facts(given, now=DAY - 1).due_at == at(DAY)


def test_one_without_an_end_never_ends() -> None:
    projection = project_facts(granted())

    assert only_grant(projection).active
    assert projection.due_at is None


def test_it_begins_at_its_start_by_the_clock() -> None:
    given = granted(starts=DAY)
    before = project_facts(given, now=DAY - 1)

    assert not only_grant(before).active
    assert before.due_at == at(DAY)
    assert only_grant(project_facts(given, now=DAY)).active


def test_a_person_ends_it_and_it_stays_ended() -> None:
    facts = [granted(starts=2 * DAY), granted(starts=2 * DAY, ended=DAY, event="op_2")]
    projection = project_facts(facts, now=3 * DAY)
    row = only_grant(projection)

    assert (row.active, row.expires_at, row.event_id) == (False, at(DAY), "op_2")
    assert row.because == "cli:bob ended this grant: given by mistake"
    assert projection.due_at is None
    assert project_facts(reversed(facts), now=3 * DAY) == projection


def test_an_end_holds_also_by_a_clock_that_was_read_before_it() -> None:
    facts = [granted(), granted(ended=DAY, event="op_2")]
    projection = project_facts(facts, now=DAY - 1)

    assert not only_grant(projection).active
    assert only_grant(projection).expires_at == at(DAY)
    assert projection.due_at is None


def test_an_end_holds_also_where_the_clock_went_back_before_it() -> None:
    facts = [granted(), granted(ended=-5, event="op_2")]

    assert not only_grant(project_facts(facts)).active
    assert only_grant(project_facts(facts)).event_id == "op_2"


def test_an_end_after_its_own_end_changes_nothing_about_when_it_ended() -> None:
    facts = [granted(until=DAY), granted(until=DAY, ended=2 * DAY)]

    assert only_grant(project_facts(facts)).expires_at == at(DAY)


def test_features_are_given_without_a_plan() -> None:
    row = only_grant(project_facts(granted(plan=None, features={"beta": True, "devices": 9})))

    assert (row.plan_code, row.entitlements) == (FEATURES_PLAN, {"beta": True, "devices": 9})


def test_a_given_plan_has_the_features_of_the_catalogue_of_record() -> None:
    row = only_grant(project_facts(granted(plan="team", features={"devices": 1}), catalogue=TEAM))

    assert row.entitlements == {"devices": 3}
    assert row.per_seat == ("devices",)


def test_a_plan_that_leaves_the_catalogue_gives_what_it_gave_then() -> None:
    given = granted(plan="team", features={"devices": 3})

    assert only_grant(project_facts(given, catalogue=Catalogue())).entitlements == {"devices": 3}
    assert only_grant(project_facts(given, catalogue=Catalogue())).active


@pytest.mark.parametrize("status", ["canceled", "unpaid", "active"])
def test_a_subscription_of_the_same_user_leaves_it_as_it_is(status: str) -> None:
    alone = only_grant(project_facts(granted()))
    both = project_facts(granted(), customer("usr_1"), subscription(status=status))

    assert both.entitlements[alone.key] == alone


def test_policy_and_prices_do_not_concern_it() -> None:
    without_prices = replace(CATALOGUE, plans=tuple(replace(p, prices=()) for p in CATALOGUE.plans))

    assert only_grant(project_facts(granted(), catalogue=without_prices)).active


def test_one_that_lets_its_user_do_nothing_is_not_named_as_paid_for() -> None:
    nothing = {"beta": False, "devices": 0}

    assert project_facts(granted(plan=None, features=nothing)).without_grant == {}
    assert project_facts(granted(plan="lost", features=nothing)).without_grant == {}
