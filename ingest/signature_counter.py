"""Count deliveries that match no secret, and report them to Redis for ``doctor`` and ``status``."""

import threading
from collections.abc import Callable, Collection
from typing import Final, Protocol

_MATCHED_SECONDS: Final = 60.0


class SignatureCounts(Protocol):
    """The record in Redis."""

    def add(self, *, mismatched: int, matched: Collection[str]) -> None:
        """Add deliveries that matched no secret, and the secrets that others matched."""
        ...


class SignatureCounter:
    """The deliveries of one server process; ``report`` is called by one thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take monotonic seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._mismatched = 0
        self._matched: set[str] = set()
        self._report_match_at = 0.0

    def mismatch(self) -> None:
        """Count a delivery that matched no secret."""
        with self._lock:
            self._mismatched += 1

    def match(self, fingerprint: str) -> None:
        """Note that a delivery matched a secret; cheap, because every accepted one calls it."""
        self._matched.add(fingerprint)

    def report(self, record: SignatureCounts) -> None:
        """Write what is new into Redis; a match at most once a minute, or after a mismatch.

        Raises:
            RedisError: Redis did not take it; the next call tries again.
        """
        with self._lock:
            mismatched, matched = self._mismatched, frozenset(self._matched)
            if not mismatched and not (matched and self._clock() >= self._report_match_at):
                return
            self._mismatched, self._matched = 0, set()
        try:
            record.add(mismatched=mismatched, matched=matched)
        except BaseException:
            with self._lock:
                self._mismatched += mismatched
                self._matched |= matched
            raise
        # After a mismatch the next match is news.
        self._report_match_at = 0.0 if mismatched else self._clock() + _MATCHED_SECONDS
