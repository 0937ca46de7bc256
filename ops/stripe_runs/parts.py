"""Hand out the parts of lists to the threads that read them, and know what has to be stored.

A thread owns the part it reads. Pages wait to be stored while the next ones are read, so each part
is known twice: as far as it was read, and as far as its pages were taken to be stored.
"""

import threading
from collections.abc import Iterable
from dataclasses import replace

from billing.fetching.record import ApiResponse
from ops.stripe_runs.lists import Span
from ops.stripe_runs.pages import ListPage
from ops.stripe_runs.ranges import ListPart, after_page, largest, split, without_cursor
from runtime.time_limits import STRIPE_SETTLE_SECONDS

Key = tuple[str, int]
"""The list and the position of a part."""


class OpenParts:
    """The parts of one walk; safe to use from several threads."""

    def __init__(
        self, parts: Iterable[ListPart], settled: int, stored: Iterable[ListPart] = ()
    ) -> None:
        self._changed = threading.Condition()
        self._read = {_key(part): part for part in parts}
        self._taken = dict(self._read)
        self._stored = {_key(part): part for part in stored}
        self._to_store = dict(self._stored)
        self._owned: set[Key] = set()
        self._failed: set[Key] = set()
        self._settled = settled
        self._stopped = False

    def own(self) -> Key | None:
        """Return a part to read, and wait for one if need be; None if nothing is left."""
        with self._changed:
            while not self._stopped:
                if (free := self._free_part()) is not None:
                    self._owned.add(free)
                    return free
                if not self._owned:
                    self._changed.notify_all()
                    return None
                self._changed.wait()
            return None

    def part(self, key: Key) -> ListPart:
        """Return a part as far as it is read."""
        with self._changed:
            return self._read[key]

    def read(self, key: Key, page: ListPage) -> tuple[ListPart, ListPage]:
        """Take note of a page; return the part after it, and the page without another's objects."""
        with self._changed:
            part, page = after_page(self._read[key], page)
            self._read[key] = part
            self._settled = max(self._settled, settled_at(page.response))
            if part.done:
                self._owned.discard(key)
            self._changed.notify_all()
            return part, page

    def without_cursor(self, key: Key) -> ListPart:
        """Forget the last object of a part, which Stripe no longer knows; return the part."""
        with self._changed:
            self._read[key] = without_cursor(self._read[key])
            return self._read[key]

    def fail(self, key: Key) -> None:
        """Leave a part undone."""
        with self._changed:
            self._owned.discard(key)
            self._failed.add(key)
            self._changed.notify_all()

    def stop(self) -> None:
        """Let every thread end at its next step."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self, part: ListPart) -> None:
        """Take note that a page is about to be stored; ``part`` is its part as read by then."""
        with self._changed:
            self._taken[_key(part)] = part

    def to_store(self) -> list[ListPart]:
        """Return every part that differs from what is stored.

        A split moves the oldest second of one part and makes another. Both are stored together
        with the next page, whichever that is, and so before any page of the new part.
        """
        with self._changed:
            now = {key: self._as_taken(key, part) for key, part in self._read.items()}
            self._to_store = now
            return [part for key, part in now.items() if self._stored.get(key) != part]

    def stored(self) -> None:
        """Take note that the transaction with what ``to_store`` returned was committed."""
        with self._changed:
            self._stored = self._to_store

    def _as_taken(self, key: Key, part: ListPart) -> ListPart:
        taken = self._taken[key]
        return replace(taken, span=Span(oldest=part.span.oldest, newest=taken.span.newest))

    def _free_part(self) -> Key | None:
        """Return a part that no thread reads; None if all are read or done."""
        free = self._unowned() or self._half()
        if free is None and not self._owned and self._open_edge():
            free = self._unowned()
        return free

    def _unowned(self) -> Key | None:
        free = (
            key
            for key, part in self._read.items()
            if not (part.done or part.waits or key in self._owned or key in self._failed)
        )
        return next(free, None)

    def _half(self) -> Key | None:
        """Split the part with the most left, and return the new one; None if none is worth it."""
        owned = (self._read[key] for key in self._owned)
        if (part := largest(owned)) is None:
            return None
        position = 1 + max(at for name, at in self._read if name == part.list)
        newer, older = split(part, position)
        self._read[_key(newer)] = newer
        self._read[_key(older)] = self._taken[_key(older)] = older
        return _key(older)

    def _open_edge(self) -> bool:
        """Let what came since the walk began be read; False if that is done or there is none."""
        waiting = [key for key, part in self._read.items() if part.waits]
        for key in waiting:
            part = self._read[key]
            nothing = part.span.oldest is not None and part.span.oldest > self._settled
            span = Span(oldest=part.span.oldest, newest=self._settled)
            opened = replace(part, span=span, waits=False, done=nothing)
            self._read[key] = self._taken[key] = opened
        return bool(waiting)


def settled_at(response: ApiResponse) -> int:
    """Return the newest second of Unix time that was over when Stripe answered."""
    return int(response.at.timestamp()) - STRIPE_SETTLE_SECONDS


def _key(part: ListPart) -> Key:
    return (part.list, part.position)
