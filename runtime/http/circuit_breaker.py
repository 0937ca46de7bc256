"""Whether a server behind us may be asked now. A probe finds out, not the traffic.

A frozen server lets every request wait for its time limit, and waiting requests pile up. So the
first failure of a request shuts the gate: all others are refused at once, without asking, until
a probe has found it reachable and fit for use. The probe runs in a thread of
its own in each server process, and is one call, so that tests run it by hand.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

_PROBE_SECONDS: Final = 1.0
_PROBE_SECONDS_WHILE_SHUT: Final = 0.2
_STALE_SECONDS: Final = 10.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found at one moment; without reasons the gate is open."""

    reasons: tuple[str, ...]
    at: float

    @property
    def open(self) -> bool:
        """Whether requests may go on to the server."""
        return not self.reasons


class Shut(Exception):
    """The server is not to be asked now; ``reasons`` are for the operator, not for strangers."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))


class Probe(Protocol):
    """Looks at the server and names what speaks against using it."""

    def __call__(self) -> tuple[str, ...]:
        """All reasons to refuse requests, none if there are none; may raise, which is a reason."""
        ...


class Gate:
    """The last verdict, which requests read without a lock, and how it comes to change."""

    def __init__(self, probe: Probe, *, server: str, monotonic: Callable[[], float]) -> None:
        self._probe = probe
        self._server = server
        self._monotonic = monotonic
        self._failures = 0
        self._changing = threading.Lock()
        self._verdict = Verdict(reasons=(f"{server} was not asked yet",), at=monotonic())

    def admit(self) -> None:
        """Let a request pass, or stop it before it asks the server.

        Raises:
            Shut: the last verdict, or a failure since, speaks against it.
        """
        if not (verdict := self._verdict).open:
            raise Shut(verdict.reasons)

    def failed(self, error: Exception) -> None:
        """Shut for everybody because one request could not use the server."""
        with self._changing:
            self._failures += 1
            self._decide((f"{self._server} did not serve a request: {type(error).__name__}",))

    def check(self) -> Verdict:
        """Probe once. Only a probe that began after the last failure may open the gate."""
        before = self._failures
        reasons = self._probed()
        with self._changing:
            if reasons or before == self._failures:
                self._decide(reasons)
        return self._verdict

    def unsafe(self) -> tuple[str, ...]:
        """What keeps the process from being ready; a verdict nobody renewed keeps it too."""
        verdict = self._verdict
        if self._monotonic() - verdict.at > _STALE_SECONDS:
            return (*verdict.reasons, f"{self._server} was not probed for a while")
        return verdict.reasons

    def watch(self, stopped: threading.Event) -> None:
        """Probe until stopped, more often while shut."""
        while not stopped.wait(_PROBE_SECONDS if self._verdict.open else _PROBE_SECONDS_WHILE_SHUT):
            self.check()

    def _probed(self) -> tuple[str, ...]:
        try:
            return self._probe()
        except Exception as error:  # noqa: BLE001 - a thread that ends would never open the gate
            return (f"{self._server} cannot be probed: {type(error).__name__}",)

    def _decide(self, reasons: tuple[str, ...]) -> None:
        previous, self._verdict = self._verdict, Verdict(reasons=reasons, at=self._monotonic())
        if previous.open and reasons:
            log.error("gate shut", reasons=reasons)
        elif reasons == () and not previous.open:
            log.info("gate open", was=previous.reasons)
