"""``paidup reconcile``, with real servers and a Stripe on loopback."""

import json
from collections.abc import Iterator

import pytest

from ops.samples.scenario import Event
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv
from tests.ops.reconcile.stripe_side import BothSides, both_sides

pytestmark = pytest.mark.servers

WHY = ("--reason", "the endpoint was down", "--as", "ada")


@pytest.fixture
def sides(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> Iterator[BothSides]:
    """A deployment with a key, whose worker runs whenever the command waits."""

    class WorkerMeanwhile:
        asked = False

        def pause(self, seconds: float) -> None:
            floor.work(seconds)

    monkeypatch.setattr("ops.reconcile.servers.Interruption", WorkerMeanwhile)
    monkeypatch.setattr("ops.reconcile.objects.SECOND_LOOK_SECONDS", 0)
    with both_sides(floor) as sides:
        monkeypatch.setenv("STRIPE_API_KEY", sides.settings.stripe_api_key or "")
        monkeypatch.setenv("STRIPE_API_BASE", sides.api.url)
        yield sides


@pytest.fixture
def purchase(sides: BothSides) -> list[Event]:
    """A purchase of which only the first two events arrived."""
    events = [*sides.floor.books.compose("onetime").events]
    sides.happen(*events)
    sides.floor.take_in(*events[:2])
    return events


def test_a_preview_lists_what_never_arrived_and_exits_1(
    sides: BothSides, purchase: list[Event], paidup: Paidup
) -> None:
    said = paidup("reconcile", "--events-only", code=1)

    assert f"{len(purchase) - 2} events missing here" in said
    assert all(each.id in said for each in purchase[2:])
    assert set(sides.settled()) == {each.id for each in purchase[:2]}


def test_apply_puts_them_in_and_the_second_run_agrees(
    sides: BothSides, purchase: list[Event], paidup: Paidup
) -> None:
    paidup("reconcile", "--events-only", "--apply", *WHY)
    said = paidup("reconcile", "--events-only", "--json")

    (run,) = json.loads(said)["runs"]
    assert (run["agrees"], run["differences"]) == (True, [])
    assert run["events"] == len(purchase)
    assert set(sides.settled()) == {each.id for each in purchase}


def test_only_so_many_differences_are_listed_and_all_are_counted(
    sides: BothSides, purchase: list[Event], paidup: Paidup
) -> None:
    document = json.loads(paidup("reconcile", "--events-only", "--limit", "1", "--json", code=1))
    said = paidup("reconcile", "--events-only", "--limit", "1", code=1)

    (run,) = document["runs"]
    assert (len(run["differences"]), run["differences_in_all"]) == (1, len(purchase) - 2)
    assert f"and {len(purchase) - 3} differences more" in said


def test_each_listed_account_is_compared(
    sides: BothSides, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIDUP_CONNECT_ACCOUNTS", sides.api.account.id)

    every = json.loads(paidup("reconcile", "--undelivered-only", "--json"))["runs"]
    one = json.loads(
        paidup("reconcile", "--undelivered-only", "--account", sides.api.account.id, "--json")
    )["runs"]

    assert [each["realm"] for each in every] == ["test", f"test/{sides.api.account.id}"]
    assert [each["realm"] for each in one] == [f"test/{sides.api.account.id}"]


def test_the_schedule_does_what_is_due_and_nothing_twice(
    sides: BothSides, purchase: list[Event], paidup: Paidup
) -> None:
    compared = "SELECT said ->> 'parts' FROM stripe_runs WHERE kind = 'reconcile' ORDER BY id"

    paidup("reconcile", "--scheduled")
    at_first = sides.floor.scalars(compared)
    paidup("backfill", "--reason", "moving in")
    paidup("reconcile", "--scheduled")
    paidup("reconcile", "--scheduled")

    assert at_first == ['["undelivered"]', '["events"]']
    assert sides.floor.scalars(compared) == [*at_first, '["objects"]']
    assert set(sides.floor.scalars("SELECT state FROM stripe_runs")) == {"done"}
    assert set(sides.settled()) == {each.id for each in purchase}


def test_the_schedule_only_reports_where_it_may_not_apply(
    sides: BothSides, purchase: list[Event], paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIDUP_RECONCILE_APPLY", "none")

    paidup("reconcile", "--scheduled")

    assert set(sides.settled()) == {each.id for each in purchase[:2]}


def test_a_key_that_may_not_read_events_fails_each_run_and_says_why(
    sides: BothSides, paidup: Paidup
) -> None:
    sides.api.fails(403, message="The provided key does not have the required permissions")

    paidup("reconcile", "--scheduled", code=1)
    paidup("reconcile", "--events-only", code=1)

    reasons = sides.floor.scalars("SELECT DISTINCT state_reason FROM stripe_runs")
    assert all("refuses STRIPE_API_KEY" in str(each) for each in reasons)
    assert set(sides.floor.scalars("SELECT state FROM stripe_runs")) == {"failed"}
    assert "is not done: Stripe's API refuses STRIPE_API_KEY" in paidup.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--apply",), 2, "--reason is missing"),
        (("--user", "usr_1", "--customer", "cus_1"), 2, "not both"),
        (("--user", "usr_1", "--events-only"), 2, "compare objects"),
        (("--account", "acct_9"), 1, "does not list acct_9"),
        (("--events-only", "--objects-only"), 2, "give one of --events-only, --objects-only"),
        (("--scheduled", "--apply", "--reason", "tests"), 2, "--scheduled takes no other option"),
    ],
)
def test_wrong_use_is_refused_before_stripe_is_asked(
    sides: BothSides, paidup: Paidup, arguments: tuple[str, ...], code: int, says: str
) -> None:
    paidup("reconcile", *arguments, code=code)

    assert says in paidup.err
    assert sides.api.asked == []


def test_without_a_key_it_says_which_setting_is_missing(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)

    paidup("reconcile", code=1)

    assert "STRIPE_API_KEY is not set" in paidup.err


def test_a_key_of_another_mode_is_refused(
    sides: BothSides, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIDUP_LIVEMODE", "live")

    paidup("reconcile", code=1)

    assert "reads no mode whose events count" in paidup.err
