"""The plan says that it is an estimate, and the report says what a person has to decide."""

from datetime import UTC, datetime

import pytest

from billing.ids import realm_of
from ops.backfill.plan import BackfillPlan, ListPlan
from ops.backfill.queries import CustomerWithoutUser, PriceInNoPlan
from ops.backfill.render import plan_document, print_plan, print_report, report_document
from ops.backfill.report import BackfillReport, ListCount
from ops.backfill.sampling import SampledPlan
from ops.backfill.stored_report import OpenedRun, count_by_list
from ops.backfill.users_file import MappedUser

TEST = realm_of(None, livemode=False)
COUNTED = ListPlan(name="customers", objects=7, exact=True, requests=3)
ESTIMATED = ListPlan(name="invoices", objects=900, exact=False, requests=11)


def plan(*lists: ListPlan, **unreadable: str) -> SampledPlan:
    return SampledPlan(plan=BackfillPlan(lists=lists, rate=5), unreadable=unreadable)


def report(**fields: object) -> BackfillReport:
    whole = {"realm": TEST, "run": 1, "state": "done", "counts": {"customers": ListCount(new=7)}}
    return BackfillReport(**{**whole, **fields})  # type: ignore[arg-type]


def test_only_an_estimate_says_about(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(TEST, plan(COUNTED))
    exact = capsys.readouterr().out
    print_plan(TEST, plan(COUNTED, ESTIMATED))
    estimated = capsys.readouterr().out

    assert "\n7 objects in 3 requests: 600 ms at 5.0/s, 0% of the 10,000 reads" in exact
    assert "\nabout 907 objects in 14 requests: 2.8 s at 5.0/s" in estimated


def test_a_list_that_the_key_may_not_read_is_named_before_it_begins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_plan(TEST, plan(COUNTED, disputes="it lacks the right dispute_read"))

    assert "disputes: it lacks the right dispute_read" in capsys.readouterr().out


def test_a_run_that_goes_on_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    opened = OpenedRun(run=7, started_at=datetime(2026, 11, 30, tzinfo=UTC), read=300, planned=900)

    print_plan(TEST, opened)

    said = "test: run 7 of 2026-11-30 00:00:00Z goes on: 300 of about 900 objects are read\n"
    assert capsys.readouterr().out == said
    assert plan_document(TEST, opened)["realm"] == "test"


def test_the_report_names_customers_prices_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    ada = CustomerWithoutUser(
        customer="cus_1", emails=("ada@example.com",), same_email="usr_1", running=1, purchases=2
    )
    price = PriceInNoPlan(price="price_old", running=3, ended=1, purchases=0)
    line = MappedUser(line=4, customer="cus_9", user_id="usr_9")

    print_report(
        report(
            without_user=[ada],
            without_user_total=3,
            prices_in_no_plan=[price],
            unlinked=[line],
            links_made=1,
        )
    )

    said = capsys.readouterr().out
    assert "3 customers without a user" in said
    assert "2 more: --limit shows them" in said
    assert "ada@example.com" in said
    assert "usr_1" in said
    assert "3 running subscriptions on a price in no plan" in said
    assert "1 line of --users whose customer is unknown" in said
    assert "7 objects read, 7 stored; 1 link made" in said


def test_a_run_that_stored_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report(counts={"customers": ListCount(unchanged=7)}))

    assert "7 objects read, nothing new" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"state": "interrupted"}, "interrupted: the same command goes on"),
        ({"state": "failed", "unreadable": {"disputes": "no right"}}, "not whole, see above"),
    ],
)
def test_a_run_that_is_not_whole_says_what_to_do(
    fields: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report(**fields))

    assert says in capsys.readouterr().out
    assert report_document(report(**fields))["whole"] is False


def test_the_report_counts_what_was_left_out() -> None:
    (said,) = report(counts={"invoices": ListCount(left_out=2)}).history()

    assert said.startswith("2 objects from before --since were left out")


def test_counts_are_listed_in_the_order_of_reading_and_without_the_plan() -> None:
    stored = {"charges.new": 2, "customers.unchanged": 1, "plan.objects": 9, "charges.gone": 1}

    assert count_by_list(stored) == {
        "customers": ListCount(unchanged=1),
        "charges": ListCount(new=2, gone=1),
    }
