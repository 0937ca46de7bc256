from threading import Event

import pytest
from structlog.testing import capture_logs

from runtime.guard import start_loop
from runtime.http.circuit_breaker import CircuitBreaker, CircuitOpen
from tests.fakes import FakeClock, FakeProbe


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def probe() -> FakeProbe:
    return FakeProbe()


@pytest.fixture
def breaker(probe: FakeProbe, clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker(probe, server="Redis", monotonic=clock.monotonic)


def test_it_is_open_until_the_first_probe(breaker: CircuitBreaker) -> None:
    with pytest.raises(CircuitOpen):
        breaker.check_closed()

    breaker.check()
    breaker.check_closed()


def test_reasons_open_it_and_are_shown_to_operators(
    breaker: CircuitBreaker, probe: FakeProbe
) -> None:
    probe.reasons = ("appendonly is off", "no maxmemory")
    breaker.check()

    with pytest.raises(CircuitOpen) as opened:
        breaker.check_closed()

    assert opened.value.reasons == breaker.unsafe() == ("appendonly is off", "no maxmemory")


def test_a_failed_request_opens_it_for_all_others_at_once(breaker: CircuitBreaker) -> None:
    breaker.check()
    breaker.failed(TimeoutError())

    with pytest.raises(CircuitOpen, match="TimeoutError"):
        breaker.check_closed()


def test_a_probe_that_fails_is_a_reason_too(breaker: CircuitBreaker, probe: FakeProbe) -> None:
    breaker.check()
    probe.broken = TimeoutError("Redis is frozen")
    breaker.check()

    with pytest.raises(CircuitOpen, match="TimeoutError"):
        breaker.check_closed()


def test_a_probe_that_began_before_a_failure_cannot_close_it(clock: FakeClock) -> None:
    breaker: CircuitBreaker

    def overtaken() -> tuple[str, ...]:
        breaker.failed(TimeoutError())
        return ()

    breaker = CircuitBreaker(overtaken, server="Redis", monotonic=clock.monotonic)
    breaker.check()

    with pytest.raises(CircuitOpen):
        breaker.check_closed()


def test_an_outdated_probe_result_is_a_reason_against_readiness(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    breaker.check()
    clock.advance(11)

    assert breaker.unsafe() == ("Redis was not probed for a while",)


def test_it_logs_once_that_it_opened_and_once_that_it_closed(
    breaker: CircuitBreaker, probe: FakeProbe
) -> None:
    breaker.check()

    with capture_logs() as lines:
        for reasons in (("full",), ("full",), (), ()):
            probe.reasons = reasons
            breaker.check()

    assert [line["event"] for line in lines] == ["circuit breaker opened", "circuit breaker closed"]


def test_a_server_that_is_unfit_from_the_start_is_logged(
    breaker: CircuitBreaker, probe: FakeProbe
) -> None:
    probe.reasons = ("no cluster, please",)

    with capture_logs() as lines:
        breaker.check()
        breaker.check()

    assert [line["reasons"] for line in lines] == [("no cluster, please",)]


def test_the_reason_of_an_error_is_shown_without_a_password(
    breaker: CircuitBreaker, probe: FakeProbe
) -> None:
    probe.broken = ConnectionError("redis://:hunter2@host:6379 refused")

    breaker.check()

    assert breaker.unsafe() == (
        "Redis cannot be probed: ConnectionError: redis://***@host:6379 refused",
    )


def test_the_watch_goes_on_until_it_is_stopped(clock: FakeClock) -> None:
    stopped, asked = Event(), Event()

    def broken_once() -> tuple[str, ...]:
        if asked.is_set():
            stopped.set()
        asked.set()
        raise RuntimeError

    breaker = CircuitBreaker(broken_once, server="Redis", monotonic=clock.monotonic)
    watch = start_loop(
        "circuit-breaker", breaker.check, pause=breaker.pause_seconds, stopped=stopped
    )
    watch.join(timeout=10)

    assert not watch.is_alive()
