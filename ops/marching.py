"""One thing done to every party, a few at a time: what one of them does harms no other.

Every few are a transaction of their own, so whenever this ends, however it ends, what is done is
done. What is in the way for a moment is waited for; what cannot be done is named and passed over.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from billing.ids import PartyId
from ops.errors import NotDone
from ops.interruption import Interrupted
from runtime.failures import Failure, Infrastructure, Outdated, Transient, classify

TRIES: Final = 6
REST_SECONDS: Final = 0.5
"""Before another try, where somebody else was at work on the same parties."""


@dataclass(slots=True, kw_only=True)
class March:
    """One run; ``pause`` sleeps, and raises ``Interrupted`` when somebody wants this to end."""

    do: Callable[[Sequence[PartyId]], None]
    pause: Callable[[float], None]
    again: str
    """What to run after it was broken off."""
    done: int = 0
    failed: dict[PartyId, str] = field(default_factory=dict)
    interrupted: bool = False

    def run(self, pages: Iterable[Sequence[PartyId]], show: Callable[[int], None]) -> None:
        """All of them, or as many as there are before somebody interrupts.

        Raises:
            NotDone: a server is away, or the database is of another release.
        """
        try:
            for parties in pages:
                self.pause(0.0)
                self._some(parties)
                show(self.done)
        except Interrupted:
            self.interrupted = True

    def _some(self, parties: Sequence[PartyId]) -> None:
        failure = self._tried(parties)
        if failure is None:
            self.done += len(parties)
        elif len(parties) > 1:
            for party in parties:
                self._some([party])
        else:
            self.failed[parties[0]] = f"{failure.error_type}: {failure.reason}"

    def _tried(self, parties: Sequence[PartyId]) -> Failure | None:
        for _ in range(TRIES - 1):
            failure = self._try(parties)
            if not isinstance(failure, Transient):
                return failure
            self.pause(REST_SECONDS)
        return self._try(parties)

    def _try(self, parties: Sequence[PartyId]) -> Failure | None:
        try:
            self.do(parties)
        except Exception as error:
            failure = classify(error)
            if isinstance(failure, Infrastructure | Outdated):
                raise self._broken_off(failure) from error
            return failure
        return None

    def _broken_off(self, failure: Infrastructure | Outdated) -> NotDone:
        said = failure.reason.partition("\n")[0]
        return NotDone(f"{said}; {self.done} parties are done: {self.again} does what is left")
