"""The dependencies of archived payments change with what may change their rows, and not else."""

from billing.archiving.archive import archive
from billing.archiving.dependencies import dependencies_of, still_hold
from billing.catalogue import Catalogue
from billing.facts import Fact
from billing.projection.party import PartyFacts
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    customer,
    intent,
    invoice,
    line,
    subscription,
    with_policy,
)

NOW, UNTIL = at(400 * DAY), at(40 * DAY)
MAY_END = with_policy({"subscription_refund_full": "end"})


def dependencies(*facts: Fact, catalogue: Catalogue = MAY_END) -> dict[str, str]:
    party = PartyFacts(facts)
    party.project(catalogue, NOW)
    [realm] = party.realms
    return dependencies_of([realm], UNTIL)


def paid(day: int) -> Fact:
    sold = line(kind="subscription", lasts=30 * DAY, since=day * DAY)
    return invoice(day * DAY, stripe_id=f"in_{day}", lines=(sold,))


def test_a_later_paid_period_may_take_the_place_of_an_earlier_one_and_no_other_way_round() -> None:
    first, second = (dependencies(subscription(), paid(day)) for day in (0, 30))

    assert still_hold(first, second)
    assert not still_hold(second, first)


def test_the_newest_period_is_of_no_account_where_no_returned_money_ends_a_subscription() -> None:
    first, second = (
        dependencies(subscription(), paid(day), catalogue=CATALOGUE) for day in (0, 30)
    )

    assert first == second


def test_a_dependency_that_is_gone_does_not_hold() -> None:
    assert not still_hold(dependencies(customer("usr_1"), subscription()), {})


def test_nothing_is_archived_in_the_time_of_a_test_clock() -> None:
    payments = [intent(seconds=day * DAY, stripe_id=f"pi_{day}") for day in range(1, 13)]
    for clock, expected in ((None, False), ("clock_1", True)):
        party = PartyFacts([customer("usr_1", clock=clock), *payments])
        found = archive(party, party.project(CATALOGUE, NOW), CATALOGUE, NOW)
        assert (found is None) is expected
