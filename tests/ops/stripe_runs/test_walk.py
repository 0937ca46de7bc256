"""A walk stores each object of a list once, whatever fails or ends meanwhile."""

import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from billing.fetching.record import ApiResponse, read_response
from models.tables import StripeRun, StripeRunRange
from ops.stripe_runs.lists import CUSTOMERS, EVENTS, FEATURES, Span
from ops.stripe_runs.runs import RunLost, cancel
from ops.stripe_runs.walk import READERS, ListReading
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import (
    ApiAway,
    ApiFailure,
    ApiForbidden,
    ApiLimited,
    ApiRefused,
    BudgetAway,
)
from tests.ops.stripe_runs.walk_builders import (
    NOW,
    ListedEvents,
    even,
    run_of,
    stored_ids,
    walk_of,
)
from tests.workers.waiting import until

pytestmark = pytest.mark.servers


def names(listed: ListedEvents) -> Counter[str]:
    return Counter(name for _, name in listed.objects)


def stored_ranges(engine: Engine) -> list[tuple[int, int, bool]]:
    """Return pages, objects and whether it is done, of each range."""
    ranges = sa.select(StripeRunRange.pages, StripeRunRange.objects, StripeRunRange.done)
    with engine.connect() as connection:
        return [(row.pages, row.objects, row.done) for row in connection.execute(ranges)]


def test_every_object_is_stored_once_with_few_requests(engine: Engine) -> None:
    listed = ListedEvents(even(5_000))
    walk = walk_of(engine, listed, run_of(engine))

    found = Counter(stored_ids(engine, walk))

    assert found == names(listed)
    assert walk.requests == len(listed.asked) <= 50 * 1.5
    assert listed.closed == READERS + 1  # one asked for the time
    assert all(done for _, _, done in stored_ranges(engine))
    assert sum(objects for _, objects, _ in stored_ranges(engine)) == 5_000
    with engine.connect() as connection:
        assert connection.scalar(sa.select(StripeRun.requests)) == walk.requests


def test_several_pages_are_under_way(engine: Engine) -> None:
    """Let the first three requests for pages wait until all three are under way."""
    together, first = threading.Barrier(3), iter(range(3))

    class Slow(ListedEvents):
        def ask(self, request: str, account: ApiAccount) -> ApiResponse:
            if "created" in request and next(first, None) is not None:
                together.wait(30)
            return super().ask(request, account)

    listed = Slow(even(3_000, span=29 * 86_400))
    spans = tuple(
        Span(oldest=NOW - (part + 1) * 864_000, newest=NOW - part * 864_000 - 1)
        for part in range(3)
    )
    walk = walk_of(
        engine, listed, run_of(engine), readings=[ListReading(list=EVENTS, spans=spans)], readers=3
    )

    assert Counter(stored_ids(engine, walk)) == names(listed)


def test_what_comes_while_the_list_is_read_is_read_at_its_end(engine: Engine) -> None:
    listed = ListedEvents(even(500))

    def grow(listed: ListedEvents) -> None:
        listed.now += 3
        listed.objects.append((listed.now - 3, f"evt_new_{len(listed.objects)}"))

    listed.grows = grow
    walk = walk_of(engine, listed, run_of(engine))

    found = Counter(stored_ids(engine, walk))

    assert listed.read_until() > NOW
    assert found == Counter(name for at, name in listed.objects if at <= listed.read_until())


def test_a_span_with_an_end_is_read_to_it_and_no_further(engine: Engine) -> None:
    listed = ListedEvents([(NOW - 9, "evt_1"), (NOW - 8, "evt_2"), (NOW - 7, "evt_3")])
    spans = (Span(oldest=NOW - 9, newest=NOW - 8),)
    reading = ListReading(list=EVENTS, spans=spans)

    found = list(stored_ids(engine, walk_of(engine, listed, run_of(engine), readings=[reading])))

    assert found == ["evt_2", "evt_1"]
    assert len(listed.asked) == 2  # one for the time by Stripe's clock


def test_a_list_without_times_is_read_page_by_page(engine: Engine) -> None:
    listed = ListedEvents(even(250))
    reading = ListReading(list=FEATURES)

    found = Counter(stored_ids(engine, walk_of(engine, listed, run_of(engine), readings=[reading])))

    assert found == names(listed)
    assert not any("created" in request for request in listed.asked)
    assert stored_ranges(engine) == [(3, 250, True)]


def test_an_empty_list_is_done(engine: Engine) -> None:
    assert list(stored_ids(engine, walk_of(engine, ListedEvents(), run_of(engine)))) == []
    assert all(done for _, _, done in stored_ranges(engine))


class MissingAsNotFound(ListedEvents):
    """Answers 404 where Stripe's other lists answer 400: after an object that is gone."""

    def ask(self, request: str, account: ApiAccount) -> ApiResponse:
        try:
            return super().ask(request, account)
        except ApiRefused:
            return read_response(request, 404, datetime.fromtimestamp(self.now, UTC), "{}")


class TestAWalkThatGoesOn:
    def test_asks_for_no_page_that_was_stored(self, engine: Engine) -> None:
        listed = ListedEvents(even(2_000))
        run = run_of(engine)
        first = walk_of(engine, listed, run)
        with closing(stored_ids(engine, first, most=7)) as some:
            before = Counter(some)
        run.release(engine)
        asked = len(listed.asked)

        again = run_of(engine)
        second = walk_of(engine, listed, again)
        after = Counter(stored_ids(engine, second))

        assert again.resumed
        assert before.total() > 0
        assert before + after == names(listed)
        assert second.requests == len(listed.asked)
        assert len(listed.asked) - asked < 2_000 // 100 * 1.5

    def test_asks_for_nothing_but_the_time_once_all_is_stored(self, engine: Engine) -> None:
        listed = ListedEvents(even(300))
        run = run_of(engine)
        list(stored_ids(engine, walk_of(engine, listed, run)))
        asked = len(listed.asked)

        assert list(stored_ids(engine, walk_of(engine, listed, run))) == []
        assert len(listed.asked) == asked + 1

    def test_leaves_other_lists_of_the_run_alone(self, engine: Engine) -> None:
        listed = ListedEvents(even(30))
        run = run_of(engine)
        for wanted in (EVENTS, CUSTOMERS):
            reading = ListReading(list=wanted)
            walk = walk_of(engine, listed, run, readings=[reading])

            assert Counter(stored_ids(engine, walk)) == names(listed)

        assert run.requests == len(listed.asked)

    @pytest.mark.parametrize("kind", [ListedEvents, MissingAsNotFound])
    def test_reads_on_after_an_object_that_stripe_no_longer_knows(
        self, kind: type[ListedEvents], engine: Engine
    ) -> None:
        """Read the objects of that second once more; the ledger finds them unchanged."""
        listed = kind(even(1_000))
        run = run_of(engine)
        with closing(stored_ids(engine, walk_of(engine, listed, run, readers=1), most=2)) as some:
            before = list(some)
        gone = before[-1]
        listed.objects = [each for each in listed.objects if each[1] != gone]
        run.release(engine)

        after = list(stored_ids(engine, walk_of(engine, listed, run_of(engine))))

        assert Counter(before + after) == names(listed) + Counter([gone])


class Listless(ListedEvents):
    """Answers something else than a list."""

    def page(self, _: str) -> dict[str, Any]:
        return {"object": "list"}


@pytest.mark.usefixtures("impatient")
class TestARequestWithoutAnAnswer:
    def test_is_sent_again(self, engine: Engine) -> None:
        listed = ListedEvents(even(300))
        listed.faults = [ApiAway("500"), ApiLimited(0.0), ApiAway("cut"), ApiLimited(0.0)]

        assert Counter(stored_ids(engine, walk_of(engine, listed, run_of(engine)))) == names(listed)

    def test_leaves_its_range_undone_and_the_walk_says_so(self, engine: Engine) -> None:
        listed = ListedEvents(even(2_000))
        half = NOW - 15 * 86_400
        listed.broken = lambda request: ApiAway("503") if f"lte]={half}" in request else None
        run = run_of(engine)
        spans = (Span(oldest=half + 1, newest=NOW), Span(newest=half))
        readings = [ListReading(list=EVENTS, spans=spans)]
        walk = walk_of(engine, listed, run, readings=readings)

        found = Counter(stored_ids(engine, walk))

        assert [(each.list, each.span.newest, each.reason) for each in walk.unread] == [
            ("events", half, "503")
        ]
        assert found == Counter(name for at, name in listed.objects if at > half)
        listed.broken = lambda _: None
        rest = Counter(stored_ids(engine, walk_of(engine, listed, run, readings=readings)))
        assert found + rest == names(listed)

    def test_may_be_one_that_is_no_list(self, engine: Engine) -> None:
        walk = walk_of(engine, Listless(), run_of(engine))

        assert list(stored_ids(engine, walk)) == []
        assert "answers no list" in walk.unread[0].reason


@pytest.mark.parametrize("failure", [ApiForbidden("no"), ApiRefused("400"), BudgetAway("refused")])
def test_a_refusal_ends_the_walk(engine: Engine, failure: ApiFailure) -> None:
    listed = ListedEvents(even(300))
    listed.broken = lambda request: failure if "created" in request else None

    with pytest.raises(type(failure)):
        list(stored_ids(engine, walk_of(engine, listed, run_of(engine))))


def test_a_person_can_stop_it_between_two_pages(engine: Engine) -> None:
    listed = ListedEvents(even(3_000))
    stopping = threading.Event()
    walk = walk_of(engine, listed, run_of(engine), is_stopping=stopping.is_set)
    found = stored_ids(engine, walk)
    next(found)

    stopping.set()

    assert len(list(found)) < 3_000
    assert walk.unread == []


def test_a_person_can_stop_it_while_stripe_pauses_us(engine: Engine) -> None:
    listed = ListedEvents(even(10))
    stopping = threading.Event()

    def pausing(_: str) -> ApiFailure:
        stopping.set()
        return ApiLimited(3_600)

    listed.broken = pausing
    walk = walk_of(engine, listed, run_of(engine), is_stopping=stopping.is_set)

    assert list(stored_ids(engine, walk)) == []


def test_nothing_is_stored_for_a_run_that_was_cancelled(engine: Engine) -> None:
    run = run_of(engine)
    found = stored_ids(engine, walk_of(engine, ListedEvents(even(3_000)), run))
    next(found)
    before = stored_ranges(engine)

    assert cancel(engine, run.id, "not now")

    with pytest.raises(RunLost):
        list(found)
    assert stored_ranges(engine) == before


def test_memory_holds_the_pages_of_the_readers_and_of_the_queue(engine: Engine) -> None:
    listed = ListedEvents(even(20_000))
    walk = walk_of(engine, listed, run_of(engine))
    pages = walk.pages()
    next(pages)

    until(walk._fetched.full)

    assert len(listed.asked) <= 1 + 1 + 2 * READERS  # the first one asks for the time
    pages.close()  # type: ignore[attr-defined]  # it is a generator


def test_the_run_is_alive_while_no_page_comes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.stripe_runs.walk.STRIPE_RUN_BEAT_SECONDS", 0.0)
    run = run_of(engine)
    heartbeat = sa.select(StripeRun.heartbeat_at).where(StripeRun.id == run.id)
    with engine.connect() as connection:
        begun = connection.execute(heartbeat).scalar_one()
    assert begun is not None
    answered = threading.Event()

    def hang(request: str) -> None:
        if "created" in request:
            assert answered.wait(30)

    listed = ListedEvents(even(10))
    listed.broken = hang
    walk = walk_of(engine, listed, run)
    found: list[str] = []
    taker = threading.Thread(target=lambda: found.extend(stored_ids(engine, walk)))
    taker.start()

    def is_later() -> bool:
        with engine.connect() as connection:
            beaten = connection.execute(heartbeat).scalar_one()
        return beaten is not None and beaten > begun

    until(is_later)
    answered.set()
    taker.join(30)

    assert len(found) == 10


def test_a_list_that_stripe_does_not_know_is_refused(engine: Engine) -> None:
    class Unknown(ListedEvents):
        def ask(self, request: str, account: ApiAccount) -> ApiResponse:
            found = super().ask(request, account)
            return replace(found, status=404) if "created" in request else found

    with pytest.raises(ApiRefused, match="Stripe knows no such list"):
        list(stored_ids(engine, walk_of(engine, Unknown(even(10)), run_of(engine))))
