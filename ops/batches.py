"""One thing done to everything of a kind, a few at a time: what one of them does harms no other.

Every few are a transaction of their own, so whenever this ends, however it ends, what is done is
done. What is in the way for a moment is waited for; what cannot be done is named and passed over.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from ops.errors import NotDone
from ops.terminal.interrupt import Interrupted
from runtime.failures.classify import Failure, Infrastructure, Outdated, Transient, classify

TRIES: Final = 6
REST_SECONDS: Final = 0.5
"""Before another try, where somebody else was at work on the same."""

K = TypeVar("K", bound=str)


@dataclass(slots=True, kw_only=True)
class March(Generic[K]):
    """One run over parties or events.

    ``pause`` sleeps, and raises ``Interrupted`` when somebody wants this to end.
    """

    do: Callable[[Sequence[K]], None]
    pause: Callable[[float], None]
    again: str
    """What to run after it was broken off."""
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def run(self, pages: Iterable[Sequence[K]], show: Callable[[int], None]) -> None:
        """All of them, or as many as there are before somebody interrupts.

        Raises:
            NotDone: a server is away, or the database is of another release.
        """
        try:
            for names in pages:
                self.pause(0.0)
                self._some(names)
                show(self.done)
        except Interrupted:
            self.interrupted = True

    def _some(self, names: Sequence[K]) -> None:
        failure = self._tried(names)
        if failure is None:
            self.done += len(names)
        elif len(names) > 1:
            for name in names:
                self._some([name])
        else:
            self.failed[names[0]] = f"{failure.error_type}: {failure.reason}"

    def _tried(self, names: Sequence[K]) -> Failure | None:
        for _ in range(TRIES - 1):
            failure = self._try(names)
            if not isinstance(failure, Transient):
                return failure
            self.pause(REST_SECONDS)
        return self._try(names)

    def _try(self, names: Sequence[K]) -> Failure | None:
        try:
            self.do(names)
        except Exception as error:
            failure = classify(error)
            if isinstance(failure, Infrastructure | Outdated):
                raise self._broken_off(failure) from error
            return failure
        return None

    def _broken_off(self, failure: Infrastructure | Outdated) -> NotDone:
        said = failure.reason.partition("\n")[0]
        return NotDone(f"{said}; {self.done} are done: {self.again} does what is left")
