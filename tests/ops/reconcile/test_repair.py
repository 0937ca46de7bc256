"""A repair harms no user whom its run did not show."""

from dataclasses import replace

import pytest

from ops.reconcile.course import ComparisonRequest
from ops.reconcile.differences import read_differences
from ops.reconcile.objects import ObjectComparison, scope_of
from ops.reconcile.repair import Repair, preview_repair
from runtime.ledger.deployment import ledger_of
from runtime.reconciling import ComparedPart
from tests.ops.reconcile.company_side import NOW, company_sides

pytestmark = pytest.mark.servers


def test_a_repair_that_would_harm_a_user_it_did_not_show_records_nothing(
    database: str, redis_url: str
) -> None:
    with company_sides(database, redis_url, subscribers=3, months=2) as both:
        both.deliver()
        listed = both.stripe.all("/v1/subscriptions?status=all")
        subscription = next(each["id"] for each in listed)
        both.stripe.changes[subscription] = lambda raw: raw.update(
            status="canceled", ended_at=NOW - 60
        )
        course = both.course(
            ComparisonRequest(actor="ada", reason="a test", parts=(ComparedPart.OBJECTS,))
        )
        ledger = ledger_of(course.settings, both.engine)
        comparison = ObjectComparison(course, ledger, scope_of(course))
        comparison.read()
        looked = comparison.look_again()
        (user,) = {each.user_id for each in preview_repair(looked)}
        without_user = [replace(each, changes=()) for each in looked.standing]

        Repair(course, ledger, replace(looked, standing=tuple(without_user))).record()

        with both.engine.begin() as connection:
            (refused,) = read_differences(connection, course.run.id)
            course.run.end(connection, "failed", "a test", None)
        assert refused.state == "left"
        assert f"would now also change {user}" in refused.says
        _, found = both.compare()
        assert [each.state for each in found] == ["stands"], "nothing of it was recorded"
