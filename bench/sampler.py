"""Sample where a process spends its processor time, by a signal for each millisecond of it.

Unlike a tracing profiler it slows nothing down, so the shares are those of the running code.
"""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final

_EVERY_SECONDS: Final = 0.001
OTHER: Final = "the rest"

Steps = Mapping[CodeType, str]


def code_of(function: Callable[..., Any]) -> CodeType:
    """Return the code of a function, or of the function that it wraps."""
    inner = getattr(function, "__wrapped__", function)
    return inner.__code__


class Samples:
    """The number of samples in each step and in each library, of the main thread."""

    def __init__(self, steps: Steps, libraries: tuple[str, ...]) -> None:
        self.steps: Counter[str] = Counter()
        self.libraries: Counter[str] = Counter()
        self._known = steps
        self._paths = {f"/{name}/": name for name in libraries}

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Take samples until the block ends; restore the signals of another profiler."""
        before = signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def _take(self, _: int, frame: FrameType | None) -> None:
        self.steps[self._step(frame)] += 1
        self.libraries[self._library(frame)] += 1

    def _step(self, frame: FrameType | None) -> str:
        """Return the innermost step of the stack."""
        while frame is not None:
            if step := self._known.get(frame.f_code):
                return step
            frame = frame.f_back
        return OTHER

    def _library(self, frame: FrameType | None) -> str:
        path = frame.f_code.co_filename if frame else ""
        return next((name for part, name in self._paths.items() if part in path), OTHER)
