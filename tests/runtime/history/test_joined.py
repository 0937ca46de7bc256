from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from runtime.history.distribution import Distribution
from runtime.history.intervals import History, InboxLevels, IngestCounts, Interval, WorkerCounts
from runtime.history.joined import join_intervals

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECONDS = 10

numbers = st.integers(0, 1000)
distributions = st.builds(
    lambda low, high: Distribution((0.1, 1.0), (low, high)), low=numbers, high=numbers
)
ingests = st.builds(
    IngestCounts,
    observed_seconds=st.just(SECONDS),
    accepted=numbers,
    duplicate=numbers,
    invalid=numbers,
    refused=numbers,
    seconds=distributions,
)
workers = st.builds(
    WorkerCounts,
    observed_seconds=st.just(SECONDS),
    by_outcome=st.dictionaries(st.sampled_from(["applied", "ignored"]), numbers),
    lag=distributions,
)
inboxes = st.builds(
    InboxLevels,
    backlog=numbers,
    oldest_due_seconds=st.floats(0, 100),
    dead_letters=st.none() | numbers,
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    parts = draw(
        st.lists(
            st.tuples(st.none() | ingests, st.none() | workers, st.none() | inboxes), max_size=12
        )
    )
    return History(
        intervals=tuple(
            Interval(
                start=BEGIN + timedelta(seconds=SECONDS * place),
                seconds=SECONDS,
                ingest=ingest,
                workers=settled,
                inbox=inbox,
            )
            for place, (ingest, settled, inbox) in enumerate(parts)
        )
    )


def accepted(history: History) -> int:
    return sum(each.ingest.accepted for each in history.intervals if each.ingest)


def settled(history: History) -> int:
    return sum(each.workers.settled for each in history.intervals if each.workers)


def answers(history: History) -> int:
    return sum(each.ingest.seconds.total for each in history.intervals if each.ingest)


@given(histories(), st.integers(1, 7))
def test_nothing_is_lost_and_nothing_is_counted_twice(history: History, number: int) -> None:
    joined = join_intervals(history, number)

    assert accepted(joined) == accepted(history)
    assert settled(joined) == settled(history)
    assert answers(joined) == answers(history)
    assert sum(each.seconds for each in joined.intervals) == SECONDS * len(history.intervals)


@given(histories(), st.integers(1, 7))
def test_only_the_oldest_interval_may_be_shorter(history: History, number: int) -> None:
    lengths = [each.seconds for each in join_intervals(history, number).intervals]

    assert all(length == SECONDS * number for length in lengths[1:])


@given(histories(), st.integers(1, 7))
def test_the_highest_level_stays(history: History, number: int) -> None:
    joined = join_intervals(history, number)

    assert highest(joined) == highest(history)


def highest(history: History) -> tuple[int | None, int | None]:
    known = [each.inbox for each in history.intervals if each.inbox]
    letters = [each.dead_letters for each in known if each.dead_letters is not None]
    return max((each.backlog for each in known), default=None), max(letters, default=None)


@given(histories(), st.integers(1, 7))
def test_a_part_is_unknown_only_if_it_was_unknown_all_the_time(
    history: History, number: int
) -> None:
    for joined in join_intervals(history, number).intervals:
        end = joined.start + timedelta(seconds=joined.seconds)
        inside = [each for each in history.intervals if joined.start <= each.start < end]

        assert (joined.ingest is None) == all(each.ingest is None for each in inside)
        assert (joined.workers is None) == all(each.workers is None for each in inside)
        assert (joined.inbox is None) == all(each.inbox is None for each in inside)
