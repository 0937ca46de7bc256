"""``paidup plans``: what other plans would change, and how they are applied."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, text

from billing.ids import PartyId
from ops.cli import run
from ops.demo.plans import PLANS
from ops.doctor.check_waiting import check_waiting, find_unplanned_prices
from ops.samples.worlds.offers import StripePrice
from ops.terminal.interrupt import Interrupted
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.reproject import reproject
from runtime.plans_file import read_plans_text
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import checkout, contents, delivery, event
from tests.stripe.server import KEY, FakeApi, serving
from tests.workers.waiting import until
from workers.supervisor.plan_bootstrap import PlanBootstrap

pytestmark = pytest.mark.servers

SHOP = PLANS.read_text()
LONG_AGO = 1_700_000_000


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None], document: Path) -> SeededDatabase:
    """A subscriber and a buyer, and a document with the plans of record."""
    deployed(DATABASE_URL=books.url, PAIDUP_PLANS=str(document))
    books.tell("renewal", user="usr_sub")
    books.tell("onetime", user="usr_buyer", seed="t")
    return books


@pytest.fixture
def document(tmp_path: Path) -> Path:
    document = tmp_path / "plans.toml"
    document.write_text(SHOP)
    return document


def write(document: Path, old: str, new: str) -> None:
    assert old in document.read_text()
    document.write_text(document.read_text().replace(old, new))


def more_devices(document: Path) -> None:
    write(document, "max_devices = 5", "max_devices = 7")


def scalars(books: SeededDatabase, query: str) -> list[Any]:
    with books.engine.connect() as connection:
        return list(connection.scalars(text(query)))


def effective(books: SeededDatabase, user: str) -> dict[str, Any]:
    query = "SELECT feature, value FROM effective_entitlements WHERE user_id = :user"
    with books.engine.connect() as connection:
        return {row.feature: row.value for row in connection.execute(text(query), {"user": user})}


def sell_unknown_price(books: SeededDatabase, *users: str | None) -> None:
    """Record a payment for a price in no plan by each of these users."""
    bodies = [
        event(
            "checkout.session.completed",
            checkout(f"cs_{number}", client_reference_id=user, metadata={"price_id": "price_new"}),
        )
        for number, user in enumerate(users)
    ]
    ledger_on(books.engine).record([delivery(body) for body in bodies])


@pytest.mark.usefixtures("books")
class TestDiff:
    def test_equal_plans_change_nothing_and_say_so(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        before = contents(books.engine)

        said = paidup("plans", "diff")

        assert "equals the plans of record (version 1)" in said
        assert "access of 0 users would change" in said
        assert contents(books.engine) == before

    def test_a_feature_that_is_worth_more_is_shown_for_its_users_only(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        more_devices(document)
        before = contents(books.engine)

        found = json.loads(paidup("plans", "diff", str(document), "--json"))

        assert (found["users"], found["parties"]) == (1, 2)
        assert found["grants"] == {"granted": 0, "changed": 1, "revoked": 0}
        (change,) = found["changes"]
        assert change["user_id"] == "usr_sub"
        assert change["before"] == {"max_devices": 5, "signals_enabled": True}
        assert change["after"] == {"max_devices": 7, "signals_enabled": True}
        (grant,) = change["grants"]
        assert (grant["change"], grant["plan_code"]) == ("changed", "premium")
        assert grant["after"]["entitlements"]["max_devices"] == 7
        assert contents(books.engine) == before

    def test_people_read_the_same(self, paidup: Paidup, document: Path) -> None:
        write(document, "lifetime = true", "forever = true")

        said = paidup("plans", "diff")

        (line,) = (line for line in said.splitlines() if line.startswith("usr_buyer"))
        assert "changed lifetime (pi_" in line
        assert line.split()[-2:] == ["lifetime", "forever"]
        assert "access of 1 user would change (grants: 0 granted, 1 changed, 0 revoked)" in said

    def test_a_price_that_leaves_its_plan_revokes_and_one_in_another_plan_changes_hands(
        self, paidup: Paidup, document: Path
    ) -> None:
        write(document, '"price_lifetime"', "")
        write(document, '["price_team"]', '["price_team", "price_premium_monthly"]')
        write(document, '"price_premium_monthly", "price_premium_yearly"', '"price_other"')

        found = json.loads(paidup("plans", "diff", "--json"))

        assert {each["user_id"]: each["after"] for each in found["changes"]} == {
            "usr_buyer": {},
            "usr_sub": {"max_devices": 1},
        }
        assert found["grants"]["revoked"] == 2
        assert {each["price"] for each in found["prices_in_no_plan"]} == {"price_lifetime"}

    def test_seats_that_begin_to_add_up_are_a_change_though_no_grant_is_worth_more(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        books.tell("renewal", user="usr_sub", seed="u")
        write(document, "grace_days = 7", 'grace_days = 7\nper_seat = ["max_devices"]')

        found = json.loads(paidup("plans", "diff", "--json"))

        (change,) = found["changes"]
        assert (change["before"]["max_devices"], change["after"]["max_devices"]) == (5, 10)
        paidup("plans", "apply", "--reason", "seats")
        assert effective(books, "usr_sub") == change["after"]

    def test_prices_in_no_plan_are_listed_with_how_many_wait(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        sell_unknown_price(books, "usr_1", "usr_1", "usr_2", None)

        found = json.loads(paidup("plans", "diff", "--json"))
        assert found["prices_in_no_plan"] == [{"price": "price_new", "users": 2, "without_user": 1}]
        assert "price_new  2" in paidup("plans", "diff")
        with books.engine.connect() as connection:
            assert find_unplanned_prices(connection) == [("price_new", 2, 1)]
            (said,) = (each.says for each in check_waiting(connection) if each.check == "prices")
        assert said.endswith(": price_new (2 users wait, 1 not known as users)")

        write(document, '"price_lifetime"', '"price_lifetime", "price_new"')
        found = json.loads(paidup("plans", "diff", "--json"))
        assert found["prices_in_no_plan"] == []
        assert (found["users"], found["grants"]["granted"]) == (2, 3)

    def test_a_subscription_to_a_price_in_no_plan_waits_while_it_lives(
        self, books: SeededDatabase, document: Path, paidup: Paidup
    ) -> None:
        write(document, '"price_premium_monthly", ', "")
        paidup("plans", "apply", "--reason", "x")

        with books.engine.connect() as connection:
            (found,) = find_unplanned_prices(connection)

        assert found == ("price_premium_monthly", 1, 0)
        diff = json.loads(paidup("plans", "diff", "--json"))
        assert diff["prices_in_no_plan"] == [
            {"price": found.price, "users": found.users, "without_user": found.without_user}
        ]

    def test_all_are_counted_and_few_are_shown(self, paidup: Paidup, document: Path) -> None:
        more_devices(document)
        write(document, "lifetime = true", "forever = true")

        found = json.loads(paidup("plans", "diff", "--limit", "1", "--json"))
        assert (found["users"], found["shown"], len(found["changes"])) == (2, 1, 1)
        assert "2 more users" in paidup("plans", "diff", "--limit", "0")

    @pytest.mark.parametrize("command", [("diff",), ("apply", "--reason", "x")])
    def test_what_cannot_be_used_is_one_sentence(
        self, paidup: Paidup, document: Path, command: tuple[str, ...]
    ) -> None:
        paidup("plans", *command, "nowhere.toml", code=1)
        assert paidup.err.count("\n") == 1
        assert "nowhere.toml: No such file" in paidup.err

        document.write_text("[plans.x]\nprice = 1\ngrace_days = -1")
        paidup("plans", *command, code=1)
        assert paidup.err.count("\n") == 1
        assert "plans.x.price: is unknown" in paidup.err

    def test_without_plans_of_record_it_says_what_to_run(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        with books.engine.begin() as connection:
            connection.execute(text("DELETE FROM catalogues"))

        paidup("plans", "diff", code=1)

        assert "run `paidup migrate`" in paidup.err


class TestEndedPurchases:
    """``usr_pass`` bought a pass of a day long ago."""

    @pytest.fixture(autouse=True)
    def passes(self, books: SeededDatabase, paidup: Paidup, document: Path) -> None:
        document.write_text(f'{SHOP}\n[plans.day]\nprices = ["price_day"]\nlasts_days = 1\n')
        paidup("plans", "apply", "--reason", "sell passes")
        body = event(
            "checkout.session.completed",
            checkout("cs_day", client_reference_id="usr_pass", metadata={"price_id": "price_day"}),
            at=LONG_AGO,
        )
        ledger_on(books.engine).record([delivery(body)])
        assert effective(books, "usr_pass") == {}
        write(document, "lasts_days = 1", "lasts_days = 36500")

    def test_plans_by_which_one_begins_again_are_refused_and_named(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        before = contents(books.engine)

        paidup("plans", "apply", "--reason", "longer", code=1)

        assert "1 purchase that had ended would begin again: pi_of_cs_day of usr_pass" in paidup.err
        assert "give --revive" in paidup.err
        assert contents(books.engine) == before

    def test_they_are_applied_when_the_operator_allows_it(
        self, books: SeededDatabase, paidup: Paidup
    ) -> None:
        paidup("plans", "apply", "--reason", "longer", "--revive")

        active = "SELECT active FROM user_entitlements WHERE user_id = 'usr_pass'"
        assert scalars(books, active) == [True]
        assert "nothing to do" in paidup("plans", "apply", "--reason", "longer")

    def test_a_change_that_begins_nothing_again_is_applied(
        self, paidup: Paidup, document: Path
    ) -> None:
        write(document, "lasts_days = 36500", "lasts_days = 2")

        assert "(version 3)" in paidup("plans", "apply", "--reason", "two days")

    def test_the_diff_names_them_and_purchases_of_another_plan(
        self, paidup: Paidup, document: Path
    ) -> None:
        write(document, '["price_lifetime"]', '["price_x"]')
        write(document, '["price_day"]', '["price_day", "price_lifetime"]')

        found = json.loads(paidup("plans", "diff", "--json"))
        said = paidup("plans", "diff")

        moved, again = found["purchases_of_another_plan"], found["purchases_that_begin_again"]
        assert (moved["count"], again["count"]) == (1, 1)
        assert [(each["before"], each["after"]) for each in moved["shown"]] == [("lifetime", "day")]
        assert [each["purchase_ref"] for each in again["shown"]] == ["pi_of_cs_day"]
        assert "purchases whose plan changes" in said
        assert "`plans apply` needs --revive" in said


class KilledRollout(BaseException):
    """An error that no handler may catch."""


@pytest.fixture
def many(books: SeededDatabase) -> int:
    """More parties than one transaction of a rollout takes; their number."""
    sell_unknown_price(books, *(f"usr_{number}" for number in range(50)))
    return len(scalars(books, "SELECT party FROM parties"))


def killed_after(monkeypatch: pytest.MonkeyPatch, transactions: int) -> None:
    left = transactions

    def until_killed(
        engine: Engine, cache: CatalogueCache, parties: Iterable[PartyId], **asked: str
    ) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledRollout
        return reproject(engine, cache, parties, **asked)

    monkeypatch.setattr("ops.plans.apply.reproject", until_killed)


def versions(books: SeededDatabase) -> Counter[int]:
    return Counter(scalars(books, "SELECT catalogue_version FROM parties"))


class TestApply:
    def test_everybody_follows_and_the_audit_says_who_and_why(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        more_devices(document)

        said = paidup("plans", "apply", "--as", "ada", "--reason", "more devices")

        assert f"{document} is now the catalogue of record (version 2)" in said
        assert "2 parties recomputed: all use version 2" in said
        assert effective(books, "usr_sub") == {"max_devices": 7, "signals_enabled": True}
        assert versions(books) == {2: 2}
        audited = "SELECT actor || ': ' || reason FROM audit_logs WHERE action = '{}' AND id > 9"
        for action in ("catalogue.applied", "entitlement.changed"):
            (line,) = scalars(books, audited.format(action))
            assert line == "cli:ada: more devices"

    def test_the_same_document_again_says_so_and_does_nothing(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        document.write_text(f"# spelled otherwise\n{SHOP}")
        before = contents(books.engine)

        said = paidup("plans", "apply", "--reason", "x")

        assert "is already the catalogue of record (version 1)\n" in said
        assert "all use version 1: nothing to do" in said
        assert contents(books.engine) == before

    def test_a_dry_run_tells_what_the_diff_tells(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        more_devices(document)
        before = contents(books.engine)

        assert paidup("plans", "apply", "--dry-run") == paidup("plans", "diff")

        assert contents(books.engine) == before

    def test_what_it_does_is_what_the_diff_said(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        sell_unknown_price(books, "usr_1", "usr_2", None)
        write(document, '["price_lifetime"]', '["price_new"]')
        write(document, "max_devices = 5", "max_devices = 3")
        previewed = json.loads(paidup("plans", "diff", "--json"))

        done = json.loads(paidup("plans", "apply", "--reason", "x", "--json"))

        assert (done["applied"], done["catalogue_version"], done["outdated_parties"]) == (
            True,
            2,
            0,
        )
        for change in previewed["changes"]:
            assert effective(books, change["user_id"]) == change["after"]
        made = Counter(
            scalars(
                books,
                "SELECT split_part(action, '.', 2) FROM audit_logs"
                " WHERE action LIKE 'entitlement.%' AND actor LIKE 'cli:%'",
            )
        )
        assert made == {name: number for name, number in previewed["grants"].items() if number}

    def test_a_plan_that_is_gone_keeps_its_rows_and_says_so(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        write(document, "[plans.lifetime", "[plans.forever")
        previewed = json.loads(paidup("plans", "diff", "--json"))

        paidup("plans", "apply", "--reason", "a better name")

        changed = {grant["plan_code"]: grant for grant in previewed["changes"][0]["grants"]}
        assert {code: grant["change"] for code, grant in changed.items()} == {
            "lifetime": "revoked",
            "forever": "granted",
        }
        assert not changed["lifetime"]["after"]["active"]
        plans = "SELECT plan_code || ' ' || active FROM user_entitlements WHERE user_id = '{}'"
        assert scalars(books, plans.format("usr_buyer") + " ORDER BY 1") == [
            "forever true",
            "lifetime false",
        ]
        said = paidup("explain", "usr_buyer", "lifetime")
        assert "granted plan lifetime under an earlier catalogue" in said
        assert "by cli:" in said

    @pytest.mark.parametrize("transactions", [0, 1, 2])
    @pytest.mark.parametrize("again", [("--reason", "go on"), ("--resume",)])
    def test_killed_anywhere_it_is_gone_on_with(  # noqa: PLR0917 - fixtures
        self,
        books: SeededDatabase,
        paidup: Paidup,
        document: Path,
        many: int,
        transactions: int,
        again: tuple[str, ...],
    ) -> None:
        more_devices(document)
        write(document, '"price_lifetime"', '"price_lifetime", "price_new"')
        with pytest.MonkeyPatch.context() as patched:
            killed_after(patched, transactions)
            with pytest.raises(KilledRollout):
                run(["plans", "apply", "--reason", "new price"])
        assert versions(books) == {
            version: number
            for version, number in {1: many - 20 * transactions, 2: 20 * transactions}.items()
            if number
        }

        said = paidup("plans", "apply", *again)

        assert f"{many - 20 * transactions} parties use older ones" in said
        assert versions(books) == {2: many}
        assert scalars(books, "SELECT max(version) FROM catalogues") == [2]
        granted = "SELECT DISTINCT reason FROM audit_logs WHERE action = 'entitlement.granted'"
        reasons = scalars(books, f"{granted} AND actor LIKE 'cli:%'")
        assert set(reasons) <= {"new price", "go on"}
        assert effective(books, "usr_49") == {"lifetime": True}

    def test_an_interruption_ends_it_between_two_transactions(
        self, books: SeededDatabase, paidup: Paidup, document: Path, many: int
    ) -> None:
        more_devices(document)

        class InterruptedRollout:
            def pause(self, _seconds: float) -> None:
                raise Interrupted

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("ops.plans.apply.Interruption", InterruptedRollout)
            said = paidup("plans", "apply", "--reason", "x", code=1)

        assert "interrupted: 0 parties recomputed; `paidup plans apply --resume`" in said
        assert versions(books) == {1: many}

    def test_one_party_that_cannot_be_projected_stops_no_other(
        self, books: SeededDatabase, paidup: Paidup, document: Path, many: int
    ) -> None:
        more_devices(document)
        (party,) = scalars(books, "SELECT party FROM user_entitlements WHERE user_id = 'usr_sub'")

        def stumble(
            engine: Engine, cache: CatalogueCache, parties: Sequence[PartyId], **asked: str
        ) -> int:
            if party in parties:
                raise KeyError("x")
            return reproject(engine, cache, parties, **asked)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("ops.plans.apply.reproject", stumble)
            said = paidup("plans", "apply", "--reason", "x", code=1)

        assert f"{many - 1} parties recomputed; 1 still use older plans" in said
        assert f"{party}: KeyError: 'x'" in paidup.err
        paidup("plans", "apply", "--resume")
        assert effective(books, "usr_sub")["max_devices"] == 7

    def test_in_the_middle_of_traffic_nobody_is_flipped_back(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        more_devices(document)
        with traffic(books) as sent:
            until(lambda: sent.total() > 10)
            paidup("plans", "apply", "--reason", "more devices")
            # Whoever starts with the old document at hand brings nobody back to it.
            document.write_text(SHOP)
            PlanBootstrap(books.engine, document, lambda: 1.0).provide()
            assert "differs from the plans of record" in paidup("migrate")
            so_far = sent.total()
            until(lambda: sent.total() > so_far + 10)

        assert versions(books) == {2: sent.total() + 2}
        worth = "SELECT DISTINCT value FROM effective_entitlements WHERE feature = 'max_devices'"
        assert scalars(books, worth) == [7]
        flips = (
            "SELECT count(*) FROM audit_logs AS late WHERE action = 'entitlement.changed'"
            " AND after #>> '{entitlements,max_devices}' = '5'"
            " AND before #>> '{entitlements,max_devices}' = '7'"
        )
        assert scalars(books, flips) == [0]

    def test_it_waits_for_a_projection_that_is_under_way(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        more_devices(document)
        hold = text("SELECT pg_advisory_xact_lock_shared(:lock)")
        with books.engine.connect() as projecting:
            projecting.execute(hold, {"lock": catalogues.LOCK})
            tries = 0

            class PauseUntilReady:
                def pause(self, seconds: float) -> None:
                    nonlocal tries
                    tries += bool(seconds)
                    if tries == 1:
                        projecting.rollback()

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("ops.plans.apply.Interruption", PauseUntilReady)
                paidup("plans", "apply", "--reason", "x")

        assert (tries, versions(books)) == (1, {2: 2})

    def test_wrong_use_is_shown(
        self, books: SeededDatabase, paidup: Paidup, document: Path
    ) -> None:
        before = contents(books.engine)
        for arguments, says in (
            ((), "--reason is missing"),
            (("--reason", " "), "write 1 to 500 characters"),
            (("--resume", str(document)), "give it alone"),
            (("--resume", "--dry-run"), "give it alone"),
        ):
            paidup("plans", "apply", *arguments, code=2)
            assert says in paidup.err
        assert contents(books.engine) == before


@contextmanager
def traffic(books: SeededDatabase) -> Iterator[Counter[str]]:
    """Run two workers that have read the old plans; count the customers of each."""
    sent: Counter[str] = Counter({"a": 0, "b": 0})
    stop = Event()
    with ThreadPoolExecutor(len(sent)) as pool:
        workers = [pool.submit(work, books, name, sent, stop) for name in ("a", "b")]
        try:
            yield sent
        finally:
            stop.set()
    for worker in workers:
        worker.result()


def work(books: SeededDatabase, name: str, sent: Counter[str], stop: Event) -> None:
    engine = engine_for(books.url, application_name="tests")
    ledger = ledger_on(engine)
    while not stop.is_set():
        seed = f"{name}{sent[name]}"
        lifecycle = books.compose("renewal", user=f"usr_{seed}", seed=seed)
        for each in lifecycle.events:
            ledger.record([delivery(each.body)])
        sent[name] += 1
    engine.dispose()


class TestDraft:
    @pytest.fixture(autouse=True)
    def fake(self, deployed: Callable[..., None]) -> Iterator[FakeApi]:
        with serving() as api:
            api.account.prices.append(StripePrice(price="price_1", product="prod_1", amount=100))
            api.account.product_features["prod_1"] = ["signals"]
            deployed(STRIPE_API_KEY=KEY, STRIPE_API_BASE=api.url)
            yield api

    def test_a_draft_is_written_that_check_accepts(self, paidup: Paidup, tmp_path: Path) -> None:
        draft = tmp_path / "draft.toml"

        said = paidup("plans", "draft", "--output", str(draft))

        assert "1 plan drafted; decide where it says DECIDE" in said
        assert '"price_1", #' in draft.read_text()
        assert '"signals" = true # DECIDE' in draft.read_text()
        line = (
            draft.read_text()
            .splitlines()
            .index("grace_days = 0 # DECIDE: days of access while a renewal is unpaid")
        )
        checked = paidup("plans", "check", str(draft))
        assert f"2 lines with DECIDE, the first is line {line + 1}" in checked
        draft.write_text(draft.read_text().replace(" # DECIDE: ", " # "))
        assert "DECIDE" not in paidup("plans", "check", str(draft))

    def test_a_file_is_never_overwritten(
        self, fake: FakeApi, paidup: Paidup, document: Path
    ) -> None:
        paidup("plans", "draft", "--output", str(document), code=1)

        assert "exists: name another file by --output" in paidup.err
        assert document.read_text() == SHOP
        assert fake.asked == []

    def test_a_draft_can_be_printed(self, paidup: Paidup) -> None:
        assert read_plans_text(paidup("plans", "draft", "--output", "-")).plans

    def test_the_result_can_be_json(self, paidup: Paidup, tmp_path: Path) -> None:
        draft = str(tmp_path / "draft.toml")

        said = json.loads(paidup("plans", "draft", "--output", draft, "--json"))

        assert said == {"file": draft, "plans": 1, "left_out": 0}

    def test_without_a_key_nothing_is_written(
        self, deployed: Callable[..., None], paidup: Paidup, tmp_path: Path
    ) -> None:
        deployed(STRIPE_API_KEY="")

        paidup("plans", "draft", "--output", str(tmp_path / "draft.toml"), code=1)

        assert "STRIPE_API_KEY is not set" in paidup.err
        assert not (tmp_path / "draft.toml").exists()
