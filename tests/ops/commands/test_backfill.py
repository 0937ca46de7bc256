"""``paidup backfill``: what Stripe shows becomes what every webhook of the past would have made."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from bench.backfill.twin import differences, hear
from ops.samples.scenario import DAY
from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.plans_file import read_plans_text
from tests.ops.conftest import Paidup
from tests.stripe.company import Company, CompanyPlan, build_company, plans_text
from tests.stripe.keys import RIGHTS, ApiKey
from tests.stripe.server import KEY, FakeApi, serving
from tests.stripe.state import moment
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

NOW = 1_795_302_000
WHY = ("--reason", "moving in")
CONNECTED = "acct_1Other"


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(CompanyPlan(subscribers=50, months=6, now=NOW))


@dataclass(frozen=True)
class Adopting:
    """A deployment that has heard nothing yet, and the Stripe of a company."""

    engine: Engine
    api: FakeApi
    company: Company

    def scalars(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.scalars(text(query)))

    def count(self, table: str) -> int:
        return int(self.scalars(f"SELECT count(*) FROM {table}")[0])  # noqa: S608 - our own words

    def events(self, *, since: int = 0) -> list[bytes]:
        """Return the bodies of the company's events that were created since then."""
        events = self.company.events()
        return [each.delivery().body for each in events if each.created >= since]

    def pages_of(self, asked: list[str]) -> list[frozenset[str]]:
        """Return the ids on each page of objects among these requests."""
        pages = [path for path in asked if "limit=100" in path]
        answers = [self.company.stripe.answer(path)[1] for path in pages]
        return [frozenset(each["id"] for each in answer["data"]) for answer in answers]


@pytest.fixture
def adopting(
    database: str, redis_url: str, company: Company, deployed: Callable[..., None]
) -> Iterator[Adopting]:
    engine = with_plans(database, company)
    with serving(account=company.stripe) as api:
        deployed(
            DATABASE_URL=database,
            REDIS_URL=redis_url,
            STRIPE_API_KEY=KEY,
            STRIPE_API_BASE=api.url,
            PAIDUP_STRIPE_REQUESTS_PER_SECOND="25",
        )
        yield Adopting(engine=engine, api=api, company=company)
    engine.dispose()


def with_plans(url: str, company: Company) -> Engine:
    engine = engine_for(url, application_name="tests")
    plans = read_plans_text(plans_text(company.document))
    catalogues.install_first(engine, plans, actor="tests", reason="tests")
    return engine


@pytest.fixture
def connected(adopting: Adopting) -> Company:
    """A smaller company, in an account that is connected to ours."""
    plan = CompanyPlan(subscribers=5, months=2, now=NOW, seed="2", connected=CONNECTED)
    company = build_company(plan)
    adopting.api.others.append(company.stripe)
    return company


@pytest.fixture(scope="module")
def heard(postgres_server: Postgres, database_template: str, company: Company) -> Iterator[str]:
    """The name of a database that heard every webhook of the company's past."""
    engine = with_plans(
        postgres_server.create_database("heard", template=database_template), company
    )
    hear(engine, (event.delivery().body for event in company.events()))
    engine.dispose()
    yield "heard"
    postgres_server.drop_database("heard")


@pytest.fixture
def twin(postgres_server: Postgres, heard: str) -> Iterator[Engine]:
    """A copy of that database."""
    url = postgres_server.create_database("twin", template=heard)
    engine = engine_for(url, application_name="tests")
    yield engine
    engine.dispose()
    postgres_server.drop_database("twin")


def started() -> "subprocess.Popen[str]":
    """Start the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "backfill", *WHY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_afterwards_stripe_and_paidup_agree_on_every_object_and_every_day(
    adopting: Adopting, paidup: Paidup
) -> None:
    paidup("backfill", *WHY)

    (run,) = json.loads(paidup("reconcile", "--objects-only", "--json"))["runs"]
    assert run["agrees"]
    assert run["days"] == []
    assert run["sums"][0]["refunded"] > 0


def test_access_and_money_are_those_of_a_twin_that_heard_every_webhook(
    adopting: Adopting, twin: Engine, paidup: Paidup
) -> None:
    said = paidup("backfill", *WHY)

    assert [*differences(adopting.engine, twin)] == []
    assert adopting.count("stripe_events") == adopting.count("stripe_run_objects") == 0
    assert "% of the 10,000 reads" in said
    assert f"test: {adopting.count('api_observations')} objects read" in said
    audited = "SELECT action || ' ' || reason FROM audit_logs WHERE action LIKE 'backfill.%'"
    assert sorted(adopting.scalars(audited)) == [
        "backfill.ended moving in",
        "backfill.requested moving in",
    ]


def test_a_second_run_over_an_unchanged_account_stores_nothing(
    adopting: Adopting, paidup: Paidup
) -> None:
    paidup("backfill", *WHY)
    before = [adopting.count(table) for table in ("api_observations", "facts", "payment_events")]

    said = paidup("backfill", *WHY)

    after = [adopting.count(table) for table in ("api_observations", "facts", "payment_events")]
    assert after == before
    assert "nothing new" in said


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("table", ["stripe_run_objects", "payments"])
def test_a_run_that_was_cut_short_goes_on_and_fetches_no_page_twice(
    adopting: Adopting, twin: Engine, paidup: Paidup, number: signal.Signals, table: str
) -> None:
    adopting.api.latency = 0.05
    with started() as process:
        until(lambda: adopting.count(table) > 100)
        process.send_signal(number)
        process.communicate()
    stored = frozenset(
        adopting.scalars(
            "SELECT object_id FROM api_observations UNION SELECT object_id FROM stripe_run_objects"
        )
    )
    asked_before = len(adopting.api.paths())
    adopting.api.latency = 0

    said = paidup("backfill", *WHY)

    again = adopting.pages_of(adopting.api.paths()[asked_before:])
    assert bool(again) is (table != "payments")
    assert not [page & stored for page in again if page & stored]
    assert "goes on" in said
    assert [*differences(adopting.engine, twin)] == []
    assert f"test: {adopting.count('api_observations')} objects read" in said


def test_webhooks_may_flow_meanwhile(adopting: Adopting, twin: Engine, paidup: Paidup) -> None:
    bodies = adopting.events(since=NOW - 60 * DAY)
    flowing = threading.Thread(target=hear, args=(adopting.engine, bodies))
    flowing.start()

    paidup("backfill", *WHY)
    flowing.join()

    assert adopting.count("stripe_events") == len(bodies) > 100
    assert [*differences(adopting.engine, twin)] == []


def test_each_account_is_a_run_of_its_own(
    adopting: Adopting,
    twin: Engine,
    connected: Company,
    paidup: Paidup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAIDUP_CONNECT_ACCOUNTS", CONNECTED)
    bodies = [event.delivery().body for event in connected.events()]
    hear(twin, bodies, accounts=frozenset({CONNECTED}))

    document = json.loads(paidup("backfill", "--json", *WHY))

    realms = ["test", f"test/{CONNECTED}"]
    assert [each["realm"] for each in document["plans"]] == realms
    assert [each["realm"] for each in document["accounts"]] == realms
    assert all(each["whole"] for each in document["accounts"])
    assert adopting.scalars("SELECT realm FROM stripe_runs ORDER BY id") == realms
    assert [*differences(adopting.engine, twin)] == []


def test_one_account_can_be_read_alone(
    adopting: Adopting, connected: Company, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIDUP_CONNECT_ACCOUNTS", CONNECTED)

    paidup("backfill", "--account", CONNECTED, *WHY)

    assert {each.headers.get("Stripe-Account") for each in adopting.api.asked} == {CONNECTED}
    assert adopting.scalars("SELECT DISTINCT realm FROM payments") == [f"test/{CONNECTED}"]


def test_features_are_read_of_customers_with_a_running_subscription(
    adopting: Adopting, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe = adopting.company.stripe
    _, listed = stripe.answer("/v1/subscriptions?status=all&limit=100")
    ended = ("canceled", "incomplete_expired")
    running = {each["customer"] for each in listed["data"] if each["status"] not in ended}
    monkeypatch.setitem(stripe.features, min(running), [(moment(NOW), ["sso"])])

    first = json.loads(paidup("backfill", "--json", *WHY))
    asked = [path for path in adopting.api.paths() if "active_entitlements" in path]
    second = json.loads(paidup("backfill", "--json", *WHY))

    assert len(asked) == len(running)
    assert first["accounts"][0]["lists"]["active_entitlements"]["new"] == 1
    assert second["accounts"][0]["lists"]["active_entitlements"] == {
        **first["accounts"][0]["lists"]["active_entitlements"],
        "new": 0,
        "unchanged": 1,
    }
    family = "entitlements.active_entitlement_summary"
    assert adopting.count(f"api_observations WHERE family = '{family}'") == 1


def test_an_account_that_is_not_listed_is_refused(adopting: Adopting, paidup: Paidup) -> None:
    paidup("backfill", "--account", CONNECTED, *WHY, code=1)

    assert "is not in PAIDUP_CONNECT_ACCOUNTS" in paidup.err
    assert adopting.api.asked == []


def test_a_right_that_the_key_lacks_is_named_and_the_rest_is_read(
    adopting: Adopting, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights = frozenset(f"{each}_read" for each in RIGHTS.values() if each != "dispute")
    adopting.api.keys.append(ApiKey("rk_test_restricted", rights))
    monkeypatch.setenv("STRIPE_API_KEY", "rk_test_restricted")

    document = json.loads(paidup("backfill", "--json", *WHY, code=1))

    (account,) = document["accounts"]
    assert "dispute_read" in account["unreadable"]["disputes"]
    assert account["unreadable"] == document["plans"][0]["unreadable"]
    assert account["lists"]["customers"]["new"] == 50
    assert account["lists"]["refunds"]["new"] > 0
    assert adopting.scalars("SELECT state FROM stripe_runs") == ["failed"]


def test_a_key_that_stripe_refuses_reads_nothing(
    adopting: Adopting, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_another")

    paidup("backfill", *WHY, code=1)

    assert "refuses STRIPE_API_KEY" in paidup.err
    assert adopting.count("api_observations") == 0


def test_mapped_customers_become_their_users(
    adopting: Adopting, paidup: Paidup, tmp_path: Path
) -> None:
    paidup("backfill", *WHY)
    nobody = adopting.scalars(
        "SELECT stripe_customer_id FROM customers WHERE user_id IS NULL ORDER BY 1"
    )
    path = tmp_path / "map.csv"
    lines = [f"{customer},usr_{number}" for number, customer in enumerate(nobody)]
    path.write_text("\n".join(["customer,user", *lines, "cus_elsewhere,usr_9"]))

    first = json.loads(paidup("backfill", "--users", str(path), "--json", *WHY))
    second = json.loads(paidup("backfill", "--users", str(path), "--json", *WHY))

    assert nobody
    assert first["accounts"][0]["links"]["made"] == len(nobody)
    assert second["accounts"][0]["links"]["made"] == 0
    assert second["accounts"][0]["links"]["earlier"] == len(nobody)
    unknown = second["accounts"][0]["links"]["unknown"]
    assert [each["customer"] for each in unknown] == ["cus_elsewhere"]
    linked = adopting.scalars("SELECT user_id FROM customers WHERE user_id LIKE 'usr_%' ORDER BY 1")
    assert linked == [f"usr_{number}" for number in range(len(nobody))]


def test_a_mistake_in_the_file_reads_nothing(
    adopting: Adopting, paidup: Paidup, tmp_path: Path
) -> None:
    path = tmp_path / "map.csv"
    path.write_text("customer,user\nsub_1,usr_1\n")

    paidup("backfill", "--users", str(path), *WHY, code=1)

    assert "line 2" in paidup.err
    assert adopting.api.asked == []


def test_since_leaves_out_old_bills_and_their_payments_and_no_purchase(
    adopting: Adopting, twin: Engine, paidup: Paidup
) -> None:
    since = datetime.fromtimestamp(NOW - 60 * DAY, UTC).date()

    said = paidup("backfill", "--since", since.isoformat(), *WHY)

    found = [*differences(adopting.engine, twin)]
    assert not [each for each in found if "only heard: " not in each or each.startswith("access")]
    heard = adopting.count("payments")
    assert adopting.count("payments WHERE provisional") == 0
    purchases = "SELECT count(*) FROM payments WHERE invoice_id IS NULL OR plan_code = 'lifetime'"
    with twin.connect() as connection:
        assert adopting.scalars(purchases) == [connection.scalar(text(purchases))]
        assert heard < int(connection.scalar(text("SELECT count(*) FROM payments")) or 0) * 3 / 4
    assert "from before --since were left out" in said


def test_a_dry_run_prints_the_plan_and_stores_nothing(adopting: Adopting, paidup: Paidup) -> None:
    plan = json.loads(paidup("backfill", "--dry-run", "--json"))["plans"][0]

    customers = next(each for each in plan["lists"] if each["name"] == "customers")
    assert (customers["objects"], customers["exact"]) == (50, True)
    assert adopting.count("api_observations") == adopting.count("stripe_runs") == 0


def test_the_report_of_the_last_run_can_be_printed_again(
    adopting: Adopting, paidup: Paidup
) -> None:
    paidup("backfill", "--report", code=1)
    assert "nothing was read yet" in paidup.err
    paidup("backfill", *WHY)
    asked = len(adopting.api.asked)

    said = paidup("backfill", "--report")

    assert "without a user" in said
    assert len(adopting.api.asked) == asked


def test_without_plans_nothing_is_read(
    database: str, redis_url: str, paidup: Paidup, deployed: Callable[..., None]
) -> None:
    deployed(DATABASE_URL=database, REDIS_URL=redis_url, STRIPE_API_KEY=KEY)

    paidup("backfill", *WHY, code=1)

    assert "`paidup plans draft`" in paidup.err


def test_without_a_key_nothing_is_read(
    database: str, redis_url: str, paidup: Paidup, deployed: Callable[..., None]
) -> None:
    deployed(DATABASE_URL=database, REDIS_URL=redis_url, STRIPE_API_KEY="")

    paidup("backfill", *WHY, code=1)

    assert "STRIPE_API_KEY is not set" in paidup.err
