# ruff: noqa: ARG002 - fakes take the same arguments as the real objects
"""The disposition of one event, by the API's answers and by the answers stored before."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from billing.envelope import Envelope
from billing.fetching.observations import Observations
from billing.fetching.record import ApiResponse, FetchTarget, read_response
from billing.ids import EventId
from ops.samples.worlds.records import Customer
from runtime.inbox.entries import InboxEntry, Lane
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.observed import StoredFetches
from runtime.stripe_api.errors import (
    ApiAway,
    ApiFailure,
    ApiForbidden,
    ApiLimited,
    ApiRefused,
    RateReached,
)
from runtime.telemetry import FETCHES, build_metrics
from runtime.time_limits import API_AWAY_SECONDS
from tests.billing.event_builders import encoded
from tests.billing.fetching.test_plan_lifecycles import changed, living
from tests.stripe.account import FakeStripeAccount, account_of
from tests.stripe.state import moment
from tests.workers.fakes import NOW, FakeLedger, entry_of
from workers.batches.executor import BatchExecutor
from workers.batches.retry_policy import (
    Disposition,
    Finish,
    MoveToDeadLetters,
    Release,
    Retry,
    Snooze,
)
from workers.fetch.executor import FetchExecutor

PAYLOAD = changed(1, living("active"), int(NOW.timestamp()))
SUBSCRIPTION = FetchTarget(family="subscription", stripe_id="sub_1")


@dataclass
class ScriptedApi:
    """Answers from an account, or raises ``failure``."""

    account: FakeStripeAccount = field(default_factory=lambda: account_of([PAYLOAD]))
    failure: Exception | None = None
    at: datetime = NOW + timedelta(seconds=3)
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def ask(self, request: str, envelope: Envelope) -> ApiResponse:
        self.asked.append(request)
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        status, body = self.account.answer(request)
        return read_response(request, status, self.at, encoded(body).decode())


@dataclass
class ScriptedHealth:
    """Records each call."""

    answered_at: datetime | None = None
    calls: list[tuple[str, float]] = field(default_factory=list)

    def succeeded(self) -> None:
        self.calls.append(("succeeded", 0.0))

    def failed(self, reason: str) -> bool:
        self.calls.append(("failed", 0.0))
        return True

    def pause(self, reason: str, seconds: float) -> bool:
        self.calls.append(("pause", seconds))
        return True

    def succeeded_at(self) -> datetime | None:
        return self.answered_at


@dataclass
class FetchLedger(FakeLedger):
    """A ledger with stored fetches, or one that fails to read them."""

    stored: StoredFetches = field(default_factory=StoredFetches)
    failure: Exception | None = None

    def stored_fetches(self, event_id: EventId) -> StoredFetches:
        if self.failure is not None:
            raise self.failure
        return self.stored


@dataclass
class FetchScene:
    """A fetcher among fakes."""

    api: ScriptedApi = field(default_factory=ScriptedApi)
    health: ScriptedHealth = field(default_factory=ScriptedHealth)
    ledger: FetchLedger = field(default_factory=FetchLedger)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def disposition(self, entry: InboxEntry, *, is_stopping: bool = False) -> Disposition:
        executor = BatchExecutor(
            record=self.ledger.record, with_stored_fetches=list, now=lambda: NOW, chance=lambda: 0.0
        )
        fetcher = FetchExecutor(
            executor=executor,
            stored_fetches=self.ledger.stored_fetches,
            ask=self.api.ask,
            health=self.health,
            metrics=build_metrics(self.registry),
        )
        (decided,) = fetcher.execute([entry], lambda: is_stopping).dispositions
        return decided.disposition

    def recorded(self) -> Observations | None:
        (delivery,) = self.ledger.deliveries
        return delivery.observations

    def counted(self) -> dict[str, float]:
        found = {
            result: self.registry.get_sample_value("billing_fetches_total", {"result": result})
            for result in FETCHES
        }
        return {result: count for result, count in found.items() if count}


def thin_entry(**given: Any) -> InboxEntry:
    body = encoded(FakeStripeAccount().thin_event(PAYLOAD))
    return replace(entry_of("evt_1thin", body=body), lane=Lane.FETCH, **given)


def snapshot_entry() -> InboxEntry:
    return replace(entry_of("evt_1", body=encoded(PAYLOAD)), lane=Lane.FETCH)


def test_a_thin_event_is_recorded_with_its_answers() -> None:
    scene = FetchScene()

    assert isinstance(scene.disposition(thin_entry()), Finish)

    observed = scene.recorded()
    assert observed is not None
    assert [each.name for each in observed] == [SUBSCRIPTION.name]
    assert scene.health.calls == [("succeeded", 0.0)]
    assert scene.counted() == {"answered": 1.0}


def test_a_deleted_object_is_recorded_as_gone() -> None:
    scene = FetchScene(api=ScriptedApi(account=FakeStripeAccount()))

    assert isinstance(scene.disposition(thin_entry()), Finish)
    assert scene.counted() == {"gone": 1.0}


def test_the_open_targets_of_a_settled_event_are_asked_for() -> None:
    later = replace(SUBSCRIPTION, later_than=NOW)
    account = FakeStripeAccount()
    account.put(Customer(id="cus_1", created=0))
    known = account.fetch(FetchTarget(family="customer", stripe_id="cus_1"), at=NOW)
    stored = StoredFetches(pending=(later,), observations=known)
    scene = FetchScene(ledger=FetchLedger(stored=stored))

    scene.disposition(snapshot_entry())

    assert scene.api.asked == ["/v1/subscriptions/sub_1"]
    observed = scene.recorded()
    assert observed is not None
    assert observed[:1] == known
    assert [each.name for each in observed[1:]] == [SUBSCRIPTION.name]


@pytest.mark.parametrize("entry", [thin_entry(), snapshot_entry()])
def test_stored_answers_are_not_asked_for_again(entry: InboxEntry) -> None:
    """Finish an event whose worker died after COMMIT: it only has to leave the inbox."""
    scene = FetchScene(ledger=FetchLedger(stored=StoredFetches(observations=())))

    assert isinstance(scene.disposition(entry), Finish)
    assert scene.api.asked == []
    assert scene.recorded() is None


def test_an_answer_of_the_second_in_question_is_asked_for_later_and_not_recorded() -> None:
    later = replace(SUBSCRIPTION, later_than=NOW)
    scene = FetchScene(
        ledger=FetchLedger(stored=StoredFetches(pending=(later,))), api=ScriptedApi(at=NOW)
    )

    disposition = scene.disposition(snapshot_entry())

    assert isinstance(disposition, Retry)
    assert disposition.delay_seconds >= 1
    assert scene.ledger.calls == []


def test_a_stop_before_the_first_request_releases_the_event() -> None:
    scene = FetchScene()

    assert isinstance(scene.disposition(thin_entry(), is_stopping=True), Release)
    assert scene.api.asked == []


def test_fetching_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("workers.fetch.executor.time.monotonic", lambda: now[0])
    later = FetchTarget(family="customer", stripe_id="cus_1")
    scene = FetchScene(ledger=FetchLedger(stored=StoredFetches(pending=(SUBSCRIPTION, later))))
    scene.api.meanwhile = lambda: now.__setitem__(0, now[0] + 31)

    disposition = scene.disposition(snapshot_entry())

    assert isinstance(disposition, Snooze)
    assert "30 s" in disposition.error
    assert len(scene.api.asked) == 1


class TestAnApiFailure:
    @pytest.mark.parametrize(
        ("failure", "calls", "delay", "result"),
        [
            (ApiLimited(7.0), ("pause", 7.0), 7.0, "limited"),
            (RateReached(7.0), ("pause", 7.0), 7.0, "limited"),
            (ApiForbidden("no"), ("pause", 60.0), 60.0, "forbidden"),
            (ApiAway("500"), ("failed", 0.0), API_AWAY_SECONDS, "away"),
        ],
    )
    def test_of_every_event_uses_no_attempt(
        self, failure: ApiFailure, calls: tuple[str, float], delay: float, result: str
    ) -> None:
        scene = FetchScene(api=ScriptedApi(failure=failure))

        disposition = scene.disposition(thin_entry())

        assert disposition == Snooze(
            delay_seconds=delay, error=f"{type(failure).__name__}: {failure}"
        )
        assert scene.health.calls == [calls]
        assert scene.counted() == {result: 1.0}

    def test_of_one_event_while_others_are_answered_uses_an_attempt(self) -> None:
        scene = FetchScene(
            api=ScriptedApi(failure=ApiAway("500")),
            health=ScriptedHealth(answered_at=NOW - timedelta(seconds=5)),
        )

        once = scene.disposition(thin_entry(last_failed_at=NOW - timedelta(seconds=9)))
        scene.registry = CollectorRegistry()
        often = scene.disposition(
            thin_entry(last_failed_at=NOW - timedelta(seconds=9), attempts=19)
        )

        assert isinstance(once, Retry)
        assert isinstance(often, MoveToDeadLetters)

    @pytest.mark.parametrize("answered", [None, NOW - timedelta(seconds=20)])
    def test_of_every_event_makes_no_dead_letter_even_if_it_lasts_long(
        self, answered: datetime | None
    ) -> None:
        scene = FetchScene(
            api=ScriptedApi(failure=ApiAway("500")), health=ScriptedHealth(answered_at=answered)
        )
        old = NOW - timedelta(days=3)

        disposition = scene.disposition(
            thin_entry(first_failed_at=old, last_failed_at=NOW - timedelta(seconds=9), attempts=19)
        )

        assert isinstance(disposition, Snooze)

    def test_that_is_permanent_makes_a_dead_letter(self) -> None:
        scene = FetchScene(api=ScriptedApi(failure=ApiRefused("400: no such thing")))

        disposition = scene.disposition(thin_entry())

        assert disposition == MoveToDeadLetters(error_type="ApiRefused", error="400: no such thing")
        assert scene.health.calls == [("succeeded", 0.0)]

    def test_of_the_database_snoozes_the_event_as_in_every_lane(self) -> None:
        scene = FetchScene(ledger=FetchLedger(failure=ConnectionError("refused")))

        disposition = scene.disposition(thin_entry())

        assert isinstance(disposition, Snooze)
        assert scene.api.asked == []


def test_a_crash_loop_is_not_fetched() -> None:
    scene = FetchScene()

    assert isinstance(scene.disposition(thin_entry(crashes=3)), MoveToDeadLetters)
    assert scene.api.asked == []


def test_the_time_of_an_answer_is_stripes() -> None:
    scene = FetchScene(api=ScriptedApi(at=moment(5)))

    scene.disposition(thin_entry())

    observed = scene.recorded()
    assert observed is not None
    assert observed[0].asked_at == moment(5)


def test_an_answer_that_differs_within_its_second_is_asked_for_again() -> None:
    entry = thin_entry()
    scene = FetchScene()
    scene.ledger.failing[entry.key] = ObservationTaken("obs_sub_1_5")

    disposition = scene.disposition(entry)

    assert isinstance(disposition, Retry)
    assert disposition.delay_seconds >= 1
