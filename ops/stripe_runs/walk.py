"""Walk through lists of Stripe's: several pages under way, one taker, each page stored once.

    readers (threads)  ->  a queue of a few pages  ->  the taker stores what a page shows

Memory holds the pages of the queue and of the readers, however long a list is. How far each range
is read is written by ``Walk.save`` in the transaction that stores the page, so after ``kill -9`` no
page that was stored is asked for again. The history ends at a fixed second, so that a list which
grows meanwhile stays in place; what came since then is read at the end, as one more range. Stripe's
list itself says where it ends: no page is left out because of its age.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from sqlalchemy import Connection, Engine

from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import EVERYTHING, Span, StripeList, page_request
from ops.stripe_runs.pages import ListPage, read_page
from ops.stripe_runs.parts import Key, OpenParts, settled_at
from ops.stripe_runs.ranges import ListPart
from ops.stripe_runs.runs import OpenRun
from ops.stripe_runs.stored_ranges import load_parts, save_parts
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import StripeApi
from runtime.stripe_api.errors import ApiAway, ApiRefused
from runtime.time_limits import (
    STRIPE_RUN_BEAT_SECONDS,
    STRIPE_RUN_LOOK_SECONDS,
    THREAD_STOP_SECONDS,
)

READERS: Final = 10
"""Threads that read. An answer takes Stripe 0.15 s, so four would do for 25 requests a second; with
ten, answers may take 0.4 s on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReading:
    """A list, and the spans of it to read.

    A span without a newest second ends where the walk begins, and goes on at the end with what came
    since then.
    """

    list: StripeList
    spans: tuple[Span, ...] = (EVERYTHING,)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadRange:
    """The rest of a range about which Stripe did not answer several times."""

    list: str
    span: Span
    reason: str


@dataclass(frozen=True, slots=True)
class _FetchedPage:
    """A page, and its part as it is once the page is stored."""

    page: ListPage
    part: ListPart


def _first_parts(reading: ListReading, now: int) -> Iterator[ListPart]:
    """Yield the parts of a list that no process began to read: spans, each with a live edge."""
    positions = count()
    for span in reading.spans:
        ends = span.newest is not None or not reading.list.has_created
        history = span if ends else Span(oldest=span.oldest, newest=now)
        yield ListPart(list=reading.list.name, position=next(positions), span=history)
        if not ends:
            edge = Span(oldest=now + 1)
            yield ListPart(list=reading.list.name, position=next(positions), span=edge, waits=True)


class _Stopped(Exception):
    """The walk ends; raised in a reader that waits."""


class Walk:
    """One walk of a run. ``pages`` is used once; the taker is the thread that uses it."""

    def __init__(
        self,
        engine: Engine,
        run: OpenRun,
        readings: Sequence[ListReading],
        *,
        make_api: Callable[[], StripeApi],
        account: ApiAccount,
        is_stopping: Callable[[], bool] = lambda: False,
        readers: int = READERS,
    ) -> None:
        self.unread: list[UnreadRange] = []
        """What could not be read; the same command tries it again."""
        self._engine = engine
        self._run = run
        self._readings = {each.list.name: each for each in readings}
        self._make_api = make_api
        self._account = account
        self._is_stopping = is_stopping
        self._readers = readers
        self._stop = threading.Event()
        self._fetched: queue.Queue[_FetchedPage | Exception | None] = queue.Queue(maxsize=readers)
        self._apis: list[PatientApi] = []
        self._begun_with = run.requests
        self._parts = OpenParts((), 0)

    def pages(self) -> Iterator[ListPage]:
        """Yield each page with objects, in no order; call ``save`` in its transaction.

        Asking for the next page says that the transaction was committed. The pages end early if a
        person stops the run; ``unread`` says what Stripe did not answer.

        Raises:
            ApiFailure: Stripe refuses the key or a list, or Redis does not answer.
            RunLost: the run was cancelled, or another process has it.
        """
        threads = [
            threading.Thread(target=self._read_parts, name=f"stripe-reader-{number}", daemon=True)
            for number in range(self._readers)
        ]
        try:
            with suppress(_Stopped):
                self._parts = self._begin()
                for thread in threads:
                    thread.start()
                yield from self._take_pages()
        finally:
            self._end([thread for thread in threads if thread.ident])

    def save(self, connection: Connection) -> None:
        """Write how far the lists are read, with the page that was yielded last.

        Raises:
            RunLost: the run was cancelled, or another process has it; roll back.
        """
        self._run.requests = self.requests
        self._run.beat(connection)
        save_parts(connection, self._run.id, self._parts.to_store())

    @property
    def requests(self) -> int:
        """The requests of this run so far, also those of an earlier process."""
        return self._begun_with + sum(api.sent for api in self._apis)

    def _begin(self) -> OpenParts:
        """Return the parts as an earlier process left them, or the first ones.

        One request asks for the time by Stripe's clock, and shows whether the key is good.
        """
        some_list = next(iter(self._readings.values())).list
        now = settled_at(self._patient_api().ask(page_request(some_list, EVERYTHING, size=1)))
        with self._engine.connect() as connection:
            of_run = load_parts(connection, self._run.id)
        stored = [self._as_open(part) for part in of_run if part.list in self._readings]
        begun = {part.list for part in stored}
        first = [
            part
            for name, reading in self._readings.items()
            if name not in begun
            for part in _first_parts(reading, now)
        ]
        return OpenParts([*stored, *first], now, stored=stored)

    def _as_open(self, part: ListPart) -> ListPart:
        """Return a stored part; the live edge has no newest second until it is read."""
        has_created = self._readings[part.list].list.has_created
        return replace(part, waits=has_created and part.span.newest is None)

    def _take_pages(self) -> Iterator[ListPage]:
        running, beaten = self._readers, time.monotonic()
        while running and not self._is_stopping():
            try:
                fetched = self._fetched.get(timeout=STRIPE_RUN_LOOK_SECONDS)
            except queue.Empty:
                if time.monotonic() - beaten > STRIPE_RUN_BEAT_SECONDS:
                    self._store_alone()
                    beaten = time.monotonic()
                continue
            if fetched is None:
                running -= 1
                continue
            if isinstance(fetched, Exception):
                raise fetched
            self._parts.take(fetched.part)
            if fetched.page.objects:
                yield fetched.page
                self._parts.stored()
                beaten = time.monotonic()
        self._store_alone()

    def _store_alone(self) -> None:
        """Renew the lease, and store what pages without objects showed: that a range is done."""
        with self._engine.begin() as connection:
            self.save(connection)
        self._parts.stored()

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """Let every reader end after its request; a page that was not taken is read again later."""
        self._stop.set()
        self._parts.stop()
        self._run.requests = self.requests
        until = time.monotonic() + THREAD_STOP_SECONDS
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
        for api in self._apis:
            api.close()

    def _read_parts(self) -> None:
        with suppress(_Stopped):
            try:
                self._read_what_is_left()
            except _Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - raised again in the taker
                self._put(error)
            else:
                self._put(None)

    def _read_what_is_left(self) -> None:
        api = self._patient_api()
        while (key := self._parts.own()) is not None:
            self._read_part(api, key)

    def _read_part(self, api: PatientApi, key: Key) -> None:
        """Read one part page by page, until it is done or Stripe does not answer."""
        part = self._parts.part(key)
        while not part.done:
            try:
                page = self._ask_page(api, part)
            except ApiAway as error:
                self.unread.append(UnreadRange(list=part.list, span=part.span, reason=str(error)))
                self._parts.fail(key)
                return
            if page is None:
                part = self._parts.without_cursor(key)
                continue
            part, page = self._parts.read(key, page)
            self._put(_FetchedPage(page, part))

    def _ask_page(self, api: PatientApi, part: ListPart) -> ListPage | None:
        """Return the next page; None if Stripe no longer knows the object before it."""
        wanted = self._readings[part.list].list
        request = page_request(wanted, part.span, after=part.cursor)
        try:
            response = api.ask(request)
        except ApiRefused:
            if part.cursor is None:
                raise
            return None
        if response.gone and part.cursor is not None:
            return None
        if response.gone:
            raise ApiRefused(f"404 for {wanted.path}: Stripe knows no such list")
        return read_page(wanted, part.position, response)

    def _put(self, item: _FetchedPage | Exception | None) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._fetched.put(item, timeout=STRIPE_RUN_LOOK_SECONDS)
                return
        raise _Stopped

    def _patient_api(self) -> PatientApi:
        api = PatientApi(self._make_api(), self._account, self._pause)
        self._apis.append(api)
        return api

    def _pause(self, seconds: float) -> None:
        """Wait; raises ``_Stopped`` once the walk ends or a person stops it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._is_stopping() or self._stop.wait(min(left, STRIPE_RUN_LOOK_SECONDS)):
                raise _Stopped
