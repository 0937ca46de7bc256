# ruff: noqa: ARG002 - stand-ins take what the real ones take
"""What a fetcher decides about one event, by what came of asking and by what was known before."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from billing.envelope import Envelope
from billing.fetching.record import Answer, Fetched, Wanted, answer
from billing.ids import EventId
from runtime.inbox.entries import Entry, Lane
from runtime.ledger.fetched import Errand
from runtime.stripe_api.errors import (
    ApiAway,
    ApiFailure,
    ApiForbidden,
    ApiLimited,
    ApiRefused,
)
from runtime.telemetry import FETCHES, build_metrics
from tests.billing.event_builders import encoded
from tests.billing.fetching.test_plan_lifecycles import changed, living
from tests.stripe_account import Account, account_of, moment
from tests.workers.fakes import NOW, FakeLedger, entry_of
from workers.drain.executor import Applier
from workers.drain.retry_policy import Bury, Finish, GiveBack, Park, Verdict
from workers.fetch.executor import FetchingApplier

PAYLOAD = changed(1, living("active"), int(NOW.timestamp()))
SUBSCRIPTION = Wanted(family="subscription", stripe_id="sub_1")


@dataclass
class ScriptedApi:
    """Answers from an account, or raises what it is told to."""

    account: Account = field(default_factory=lambda: account_of([PAYLOAD]))
    failure: Exception | None = None
    at: datetime = NOW + timedelta(seconds=3)
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def ask(self, request: str, envelope: Envelope) -> Answer:
        self.asked.append(request)
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        status, body = self.account.answer(request)
        return answer(request, status, self.at, encoded(body).decode())


@dataclass
class ScriptedHealth:
    """Remembers what it is told."""

    answered_at: datetime | None = None
    told: list[tuple[str, float]] = field(default_factory=list)

    def succeeded(self) -> None:
        self.told.append(("succeeded", 0.0))

    def failed(self, reason: str) -> bool:
        self.told.append(("failed", 0.0))
        return True

    def rest(self, reason: str, seconds: float) -> bool:
        self.told.append(("rest", seconds))
        return True

    def succeeded_at(self) -> datetime | None:
        return self.answered_at


@dataclass
class ErrandLedger(FakeLedger):
    """Knows of one errand."""

    errand: Errand = field(default_factory=Errand)
    away: Exception | None = None

    def errand_of(self, event_id: EventId) -> Errand:
        if self.away is not None:
            raise self.away
        return self.errand


@dataclass
class Scene:
    """A fetcher among stand-ins."""

    api: ScriptedApi = field(default_factory=ScriptedApi)
    health: ScriptedHealth = field(default_factory=ScriptedHealth)
    ledger: ErrandLedger = field(default_factory=ErrandLedger)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def verdict(self, entry: Entry, *, may_go_on: bool = True) -> Verdict:
        applier = Applier(recorder=self.ledger, now=lambda: NOW, chance=lambda: 0.0)
        fetcher = FetchingApplier(
            applier=applier,
            ledger=self.ledger,
            api=self.api,
            health=self.health,
            metrics=build_metrics(self.registry),
        )
        (decided,) = fetcher.apply([entry], may_go_on=lambda: may_go_on).decided
        return decided.verdict

    def recorded(self) -> Fetched | None:
        (delivery,) = self.ledger.deliveries
        return delivery.fetched

    def counted(self) -> dict[str, float]:
        found = {
            result: self.registry.get_sample_value("billing_fetches_total", {"result": result})
            for result in FETCHES
        }
        return {result: count for result, count in found.items() if count}


def thin_entry(**given: Any) -> Entry:
    body = encoded(Account().thin_event(PAYLOAD))
    return replace(entry_of("evt_1thin", body=body), lane=Lane.FETCH, **given)


def snapshot_entry() -> Entry:
    return replace(entry_of("evt_1", body=encoded(PAYLOAD)), lane=Lane.FETCH)


def test_a_thin_event_is_recorded_with_its_answers() -> None:
    scene = Scene()

    assert isinstance(scene.verdict(thin_entry()), Finish)

    fetched = scene.recorded()
    assert fetched is not None
    assert (fetched.wanted, len(fetched.answers)) == ((SUBSCRIPTION,), 1)
    assert scene.health.told == [("succeeded", 0.0)]
    assert scene.counted() == {"answered": 1.0}


def test_what_is_gone_is_recorded_as_that() -> None:
    scene = Scene(api=ScriptedApi(account=Account()))

    assert isinstance(scene.verdict(thin_entry()), Finish)
    assert scene.counted() == {"gone": 1.0}


def test_a_settled_event_is_asked_about_as_its_errand_says() -> None:
    later = replace(SUBSCRIPTION, later_than=NOW)
    known = Fetched(wanted=(Wanted(family="customer", stripe_id="cus_1"), SUBSCRIPTION))
    scene = Scene(ledger=ErrandLedger(errand=Errand(wanted=(later,), fetched=known)))

    scene.verdict(snapshot_entry())

    assert scene.api.asked == ["/v1/customers/cus_1", "/v1/subscriptions/sub_1"]


@pytest.mark.parametrize("entry", [thin_entry(), snapshot_entry()])
def test_what_is_stored_already_is_not_asked_for_again(entry: Entry) -> None:
    """A worker died after COMMIT: the event only has to leave the inbox."""
    stored = Fetched(wanted=(SUBSCRIPTION,))
    scene = Scene(ledger=ErrandLedger(errand=Errand(fetched=stored)))

    assert isinstance(scene.verdict(entry), Finish)
    assert scene.api.asked == []
    assert scene.recorded() is None


def test_an_answer_of_the_guessed_second_is_asked_for_later_and_not_recorded() -> None:
    later = replace(SUBSCRIPTION, later_than=NOW)
    scene = Scene(ledger=ErrandLedger(errand=Errand(wanted=(later,))), api=ScriptedApi(at=NOW))

    verdict = scene.verdict(snapshot_entry())

    assert isinstance(verdict, Park)
    assert verdict.delay_seconds >= 1
    assert scene.ledger.calls == []


def test_a_stop_before_the_first_request_gives_the_event_back() -> None:
    scene = Scene()

    assert isinstance(scene.verdict(thin_entry(), may_go_on=False), GiveBack)
    assert scene.api.asked == []


def test_an_errand_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("workers.fetch.executor.time.monotonic", lambda: now[0])
    later = Wanted(family="customer", stripe_id="cus_1")
    scene = Scene(ledger=ErrandLedger(errand=Errand(wanted=(SUBSCRIPTION, later))))
    scene.api.meanwhile = lambda: now.__setitem__(0, now[0] + 31)

    verdict = scene.verdict(snapshot_entry())

    assert isinstance(verdict, Park)
    assert "30 s" in verdict.error
    assert len(scene.api.asked) == 1


class TestAFailure:
    @pytest.mark.parametrize(
        ("failure", "told", "delay", "result"),
        [
            (ApiLimited(7.0), ("rest", 7.0), 7.0, "limited"),
            (ApiForbidden("no"), ("rest", 60.0), 60.0, "forbidden"),
            (ApiAway("500"), ("failed", 0.0), 5.0, "away"),
        ],
    )
    def test_that_is_nobodys_fault_charges_nobody(
        self, failure: ApiFailure, told: tuple[str, float], delay: float, result: str
    ) -> None:
        scene = Scene(api=ScriptedApi(failure=failure))

        verdict = scene.verdict(thin_entry())

        assert verdict == Park(
            delay_seconds=delay, charged=False, error=f"{type(failure).__name__}: {failure}"
        )
        assert scene.health.told == [told]
        assert scene.counted() == {result: 1.0}

    def test_of_one_event_while_others_are_answered_is_its_own(self) -> None:
        scene = Scene(
            api=ScriptedApi(failure=ApiAway("500")),
            health=ScriptedHealth(answered_at=NOW - timedelta(seconds=5)),
        )

        once = scene.verdict(thin_entry(last_failed_at=NOW - timedelta(seconds=9)))
        scene.registry = CollectorRegistry()
        often = scene.verdict(thin_entry(last_failed_at=NOW - timedelta(seconds=9), attempts=19))

        assert isinstance(once, Park)
        assert once.charged
        assert isinstance(often, Bury)

    @pytest.mark.parametrize("answered", [None, NOW - timedelta(seconds=20)])
    def test_of_everybody_buries_nobody_however_long_it_lasts(
        self, answered: datetime | None
    ) -> None:
        scene = Scene(
            api=ScriptedApi(failure=ApiAway("500")), health=ScriptedHealth(answered_at=answered)
        )
        old = NOW - timedelta(days=3)

        verdict = scene.verdict(
            thin_entry(first_failed_at=old, last_failed_at=NOW - timedelta(seconds=9), attempts=19)
        )

        assert isinstance(verdict, Park)
        assert not verdict.charged

    def test_that_will_not_pass_is_a_dead_letter(self) -> None:
        scene = Scene(api=ScriptedApi(failure=ApiRefused("400: no such thing")))

        verdict = scene.verdict(thin_entry())

        assert verdict == Bury(error_type="ApiRefused", error="400: no such thing")
        assert scene.health.told == [("succeeded", 0.0)]

    def test_of_the_database_is_told_as_in_every_lane(self) -> None:
        scene = Scene(ledger=ErrandLedger(away=ConnectionError("refused")))

        verdict = scene.verdict(thin_entry())

        assert isinstance(verdict, Park)
        assert scene.api.asked == []


def test_what_must_not_run_is_not_fetched() -> None:
    scene = Scene()

    assert isinstance(scene.verdict(thin_entry(crashes=3)), Bury)
    assert scene.api.asked == []


def test_times_of_answers_are_not_ours() -> None:
    scene = Scene(api=ScriptedApi(at=moment(5)))

    scene.verdict(thin_entry())

    fetched = scene.recorded()
    assert fetched is not None
    assert fetched.answers[0].at == moment(5)
