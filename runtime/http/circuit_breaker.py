"""Refuse requests at once while the server behind this process is unreachable or unsafe.

If Redis or PostgreSQL freezes, each request waits for its time limit, and waiting requests pile up.
So the first failed request opens the breaker. All others are then refused without asking, until a
probe finds the server reachable and fit for use. The probe runs in its own thread in each server
process, and is one call, so that tests run it by hand.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from runtime.error_text import describe
from runtime.time_limits import (
    BREAKER_PROBE_SECONDS,
    OPEN_BREAKER_PROBE_SECONDS,
    STALE_PROBE_SECONDS,
)

log = structlog.stdlib.get_logger(__name__)

Probe = Callable[[], tuple[str, ...]]
"""Return all reasons to refuse requests; an exception counts as a reason, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The reasons to refuse requests at one moment; without reasons the breaker is closed."""

    reasons: tuple[str, ...]
    at: float

    @property
    def closed(self) -> bool:
        """True if requests may go on to the server."""
        return not self.reasons


class CircuitOpen(Exception):
    """The server must not be asked now; ``reasons`` are for the operator, not for clients."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))


class CircuitBreaker:
    """The last probe result, which requests read without a lock, and the probe that changes it."""

    def __init__(self, probe: Probe, *, server: str, monotonic: Callable[[], float]) -> None:
        self._probe = probe
        self._server = server
        self._monotonic = monotonic
        self._failures = 0
        self._probed = False
        self._changing = threading.Lock()
        self._last = ProbeResult(reasons=(f"{server} was not probed yet",), at=monotonic())

    def check_closed(self) -> None:
        """Return if a request may ask the server.

        Raises:
            CircuitOpen: the last probe or a failure since then found a reason to refuse.
        """
        if not (last := self._last).closed:
            raise CircuitOpen(last.reasons)

    def failed(self, error: Exception) -> None:
        """Open the breaker for all requests, because one could not use the server."""
        with self._changing:
            self._failures += 1
            self._change((f"{self._server} did not serve a request: {describe(error)}",))

    def check(self) -> ProbeResult:
        """Probe once. Only a probe that began after the last failure may close the breaker."""
        before = self._failures
        reasons = self._ask_probe()
        with self._changing:
            if reasons or before == self._failures:
                self._change(reasons)
        return self._last

    def unsafe(self) -> tuple[str, ...]:
        """Return the reasons against readiness; an outdated probe result is one, too."""
        last = self._last
        if self._monotonic() - last.at > STALE_PROBE_SECONDS:
            return (*last.reasons, f"{self._server} was not probed for a while")
        return last.reasons

    def pause_seconds(self) -> float:
        """Return the seconds until the next probe, fewer while the breaker is open."""
        return BREAKER_PROBE_SECONDS if self._last.closed else OPEN_BREAKER_PROBE_SECONDS

    def _ask_probe(self) -> tuple[str, ...]:
        try:
            return self._probe()
        except Exception as error:  # noqa: BLE001 - a thread that ends would never close it again
            return (f"{self._server} cannot be probed: {describe(error)}",)

    def _change(self, reasons: tuple[str, ...]) -> None:
        previous, self._last = self._last, ProbeResult(reasons=reasons, at=self._monotonic())
        first, self._probed = not self._probed, True
        if reasons and (previous.closed or first):
            log.error("circuit breaker opened", server=self._server, reasons=reasons)
        elif reasons == () and not previous.closed:
            log.info("circuit breaker closed", server=self._server, was=previous.reasons)
