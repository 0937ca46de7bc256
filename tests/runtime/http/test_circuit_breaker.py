from threading import Event, Thread

import pytest
from structlog.testing import capture_logs

from runtime.http.circuit_breaker import Gate, Shut
from tests.fakes import FakeClock, FakeProbe


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def probe() -> FakeProbe:
    return FakeProbe()


@pytest.fixture
def gate(probe: FakeProbe, clock: FakeClock) -> Gate:
    return Gate(probe, server="Redis", monotonic=clock.monotonic)


def test_it_is_shut_until_redis_was_asked(gate: Gate) -> None:
    with pytest.raises(Shut):
        gate.admit()

    gate.check()
    gate.admit()


def test_reasons_shut_it_and_are_given_to_operators(gate: Gate, probe: FakeProbe) -> None:
    probe.reasons = ("appendonly is off", "no maxmemory")
    gate.check()

    with pytest.raises(Shut) as shut:
        gate.admit()

    assert shut.value.reasons == gate.unsafe() == ("appendonly is off", "no maxmemory")


def test_a_failed_request_shuts_it_for_all_others_at_once(gate: Gate) -> None:
    gate.check()
    gate.failed(TimeoutError())

    with pytest.raises(Shut, match="TimeoutError"):
        gate.admit()


def test_a_probe_that_cannot_ask_is_a_reason_too(gate: Gate, probe: FakeProbe) -> None:
    gate.check()
    probe.broken = TimeoutError("Redis is frozen")
    gate.check()

    with pytest.raises(Shut, match="TimeoutError"):
        gate.admit()


def test_a_probe_that_began_before_a_failure_cannot_open_it(clock: FakeClock) -> None:
    gate: Gate

    def overtaken() -> tuple[str, ...]:
        gate.failed(TimeoutError())
        return ()

    gate = Gate(overtaken, server="Redis", monotonic=clock.monotonic)
    gate.check()

    with pytest.raises(Shut):
        gate.admit()


def test_a_verdict_nobody_renews_is_no_readiness(gate: Gate, clock: FakeClock) -> None:
    gate.check()
    clock.advance(11)

    assert gate.unsafe() == ("Redis was not probed for a while",)


def test_it_says_once_that_it_shut_and_once_that_it_opened(gate: Gate, probe: FakeProbe) -> None:
    gate.check()

    with capture_logs() as lines:
        for reasons in (("full",), ("full",), (), ()):
            probe.reasons = reasons
            gate.check()

    assert [line["event"] for line in lines] == ["gate shut", "gate open"]


def test_the_watch_goes_on_until_it_is_stopped(clock: FakeClock) -> None:
    stopped, asked = Event(), Event()

    def broken_once() -> tuple[str, ...]:
        if asked.is_set():
            stopped.set()
        asked.set()
        raise RuntimeError

    watch = Thread(
        target=Gate(broken_once, server="Redis", monotonic=clock.monotonic).watch, args=(stopped,)
    )
    watch.start()
    watch.join(timeout=10)

    assert not watch.is_alive()
