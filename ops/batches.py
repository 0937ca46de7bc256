"""Run one operation over many parties in small batches, where a failed batch harms no other.

Each batch is its own transaction, so an interrupted run keeps what it has committed. A transient
failure is retried; an item that still fails is recorded and skipped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeVar

from ops.errors import CommandFailed
from ops.terminal.interrupt import Interrupted
from runtime.failures.classify import Failure, Infrastructure, Outdated, Transient, classify

MAX_ATTEMPTS: Final = 6
RETRY_DELAY_SECONDS: Final = 0.5
"""Before the next attempt, when another process holds a lock on the same rows."""

K = TypeVar("K", bound=str)
T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``size``."""
    rest = iter(items)
    while some := [*islice(rest, size)]:
        yield some


@dataclass(slots=True, kw_only=True)
class BatchRunner(Generic[K]):
    """One run over parties or events.

    ``pause`` sleeps, and raises ``Interrupted`` once the operator has asked to stop.
    """

    do: Callable[[Sequence[K]], None]
    pause: Callable[[float], None]
    retry_command: str
    """The command that continues an interrupted run."""
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def run(self, pages: Iterable[Sequence[K]], report: Callable[[int], None]) -> None:
        """Run every page, or stop between two pages when the operator interrupts.

        Raises:
            CommandFailed: a server is unreachable, or the database has another release's schema.
        """
        try:
            for names in pages:
                self.pause(0.0)
                self._run_page(names)
                report(self.done)
        except Interrupted:
            self.interrupted = True

    def _run_page(self, names: Sequence[K]) -> None:
        failure = self._try_repeatedly(names)
        if failure is None:
            self.done += len(names)
        elif len(names) > 1:
            # One item spoils the transaction of its whole page: run them one by one.
            for name in names:
                self._run_page([name])
        else:
            self.failed[names[0]] = f"{failure.error_type}: {failure.reason}"

    def _try_repeatedly(self, names: Sequence[K]) -> Failure | None:
        for _ in range(MAX_ATTEMPTS - 1):
            failure = self._try_once(names)
            if not isinstance(failure, Transient):
                return failure
            self.pause(RETRY_DELAY_SECONDS)
        return self._try_once(names)

    def _try_once(self, names: Sequence[K]) -> Failure | None:
        try:
            self.do(names)
        except Exception as error:
            failure = classify(error)
            if isinstance(failure, Infrastructure | Outdated):
                reason = failure.reason.partition("\n")[0]
                raise CommandFailed(
                    f"{reason}; {self.done} are done: {self.retry_command} does the rest"
                ) from error
            return failure
        return None
