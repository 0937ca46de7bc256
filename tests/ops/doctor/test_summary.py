from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ops.doctor.findings import State, ok, problem, warning
from ops.doctor.summary import summarize
from ops.status.overview import DatabaseCounts, Overview
from runtime.inbox.entries import Breaker
from runtime.ledger.maintenance.outdated import OutdatedCount
from runtime.sizing.need import Need
from tests.runtime.inbox.backlogs import EMPTY_BACKLOG

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATABASE = DatabaseCounts(
    last_minute=120,
    last_hour=4000,
    letters={},
    catalogue_version=1,
    unfetched=0,
    outdated=OutdatedCount(parties=0, events=0),
)
FINE = Overview(
    inbox=EMPTY_BACKLOG,
    need=Need(processes=1, rate=200, measured=False),
    database=DATABASE,
    troubles={},
)


def test_a_quiet_deployment_works_and_the_sentence_says_how_much_it_does() -> None:
    summary = summarize(FINE, [ok("schema", "fits")])

    assert summary.state is State.OK
    assert summary.says == (
        "Everything works. 4000 events were settled in the last hour (2.0/s in the last minute),"
        " none waits."
    )


def test_not_everything_is_said_to_work_before_it_is_examined() -> None:
    summary = summarize(FINE, None)

    assert summary.state is State.OK
    assert summary.says.startswith("Events are applied. 4000 events were settled")


@pytest.mark.parametrize(
    ("away", "says"),
    [
        ({"redis": "r"}, "Redis does not answer: no event is accepted"),
        ({"postgresql": "p"}, "PostgreSQL does not answer: events are accepted and wait"),
        ({"redis": "r", "postgresql": "p"}, "Neither Redis nor PostgreSQL answers"),
    ],
)
def test_a_server_that_is_away_outranks_everything(away: dict[str, str], says: str) -> None:
    summary = summarize(replace(FINE, troubles=away), [problem("plans", "none")])

    assert summary.state is State.PROBLEM
    assert summary.says.startswith(says)


def test_an_open_breaker_says_why_no_event_is_applied() -> None:
    opened = Breaker(until=NOW, reason="PostgreSQL failed", since=NOW)

    summary = summarize(replace(FINE, inbox=replace(EMPTY_BACKLOG, breaker=opened)), [])

    assert summary.state is State.PROBLEM
    assert "PostgreSQL failed" in summary.says


def test_events_that_no_worker_takes_are_a_problem() -> None:
    alone = replace(EMPTY_BACKLOG, due=3, events=3, processes=0, workers=0)

    assert summarize(replace(FINE, inbox=alone), []).says == "No worker runs, and 3 events wait."


def test_late_events_say_how_many_processes_are_needed() -> None:
    late = replace(FINE, inbox=replace(EMPTY_BACKLOG, due=900, events=900, waiting_seconds=75))
    short = replace(late, need=Need(processes=5, rate=200, measured=True))

    assert summarize(late, []).state is State.WARNING
    assert summarize(short, []).says.endswith("5 processes are needed, and 2 run.")


def test_findings_are_counted_by_their_weight() -> None:
    both = [warning("locks", "w"), problem("plans", "p"), ok("schema", "o")]

    assert summarize(FINE, both).state is State.PROBLEM
    assert "1 thing needs attention" in summarize(FINE, both).says
    assert summarize(FINE, [warning("locks", "w")] * 2).state is State.WARNING
    assert "2 things need attention" in summarize(FINE, [warning("locks", "w")] * 2).says
