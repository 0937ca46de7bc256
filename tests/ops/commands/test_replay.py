import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis
from sqlalchemy import text

from billing.envelope import parse
from ops.samples.scenario import Event
from ops.terminal.interrupt import Interruption
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv, yesterday
from tests.runtime.ledger.delivery_builders import contents
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

WHY = ("--reason", "a reader was mended", "--as", "ada")
RECORDS = ["audit_logs", "bulk_plans", "bulk_items"]
"""Tables that say what was asked for and what became of it."""


def events_of(
    floor: OpsEnv, name: str = "onetime", seed: str = "a", user: str = "usr_1"
) -> Sequence[Event]:
    return floor.books.compose(name, seed=seed, user=user).events


def replayed(paidup: Paidup, *arguments: str, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(paidup("replay", *arguments, *WHY, "--json", code=code))
    return document


@pytest.fixture
def signals() -> Iterator[None]:
    """Restore the signal handlers that a command replaces."""
    kept = {number: signal.getsignal(number) for number in (2, 15, 1)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_settled_events_are_already_applied_and_applied_once(
    at_work: OpsEnv, paidup: Paidup
) -> None:
    ids = at_work.take_in(*events_of(at_work))
    before = contents(at_work.engine, without=RECORDS)

    document = replayed(paidup, *ids)

    assert document["counts"] == {"already applied": len(ids)}
    assert document["requeued"] == document["asked"] == len(ids)
    assert contents(at_work.engine, without=RECORDS) == before
    settled = at_work.audited("replay.settled")
    assert {(actor, why) for actor, _, why in settled} == {("cli:ada", "a reader was mended")}


def test_what_yesterdays_code_did_not_know_is_read_by_todays(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=False):
        ids = at_work.take_in(*events_of(at_work))
    assert at_work.scalars("SELECT DISTINCT outcome FROM stripe_events") == ["ignored"]

    said = paidup("replay", "--outcome", "ignored", "--since", "1h", *WHY)

    assert f"{len(ids)} events: " in said
    settled = at_work.scalars("SELECT DISTINCT outcome FROM stripe_events")
    assert "applied" in settled
    assert set(settled) <= {"applied", "superseded"}, "which was read first is chance"
    assert at_work.scalars("SELECT user_id FROM user_entitlements WHERE active") == ["usr_1"]


def test_one_that_comes_too_late_names_the_event_that_is_newer(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = [
        e for e in events_of(at_work, "renewal") if e.type == "customer.subscription.updated"
    ]
    older, newer = updates[0], updates[-1]
    late = older.body.replace(older.id.encode(), b"evt_late")
    with yesterday(monkeypatch, unreadable=True):
        at_work.take_in(Event(id="evt_late", type=older.type, created=older.created, body=late))
    at_work.take_in(*events_of(at_work, "renewal"))

    (result,) = replayed(paidup, "evt_late")["events"]

    assert (result["status"], result["because"]) == ("superseded", f"superseded by {newer.id}")


def test_filters_choose_settled_events_and_dead_letters(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = events_of(at_work), events_of(at_work, seed="b", user="usr_2")
    at_work.take_in(*mine[:-1], *other)
    with yesterday(monkeypatch, unreadable=True):
        at_work.take_in(mine[-1])
    customer = at_work.books.compose("onetime", seed="b").expected.customer_id or ""
    paid = [e.id for e in (*mine, *other) if e.type == "checkout.session.completed"]

    def chosen(*arguments: str) -> set[str]:
        document = json.loads(paidup("replay", *arguments, "--dry-run", "--json"))
        return {event["event"] for event in document["events"]}

    assert chosen("--all") == {event.id for event in (*mine, *other)}
    assert chosen("--type", "checkout.session.completed") == set(paid)
    assert chosen("--outcome", "dead") == {mine[-1].id}
    assert chosen("--error", "unreadable") == {mine[-1].id}
    assert chosen("--customer", customer) == {event.id for event in other}
    assert chosen("--user", "usr_2") <= {event.id for event in other}
    assert chosen("--user", "usr_1", "--outcome", "dead") == {mine[-1].id}
    # Which of two events of one second comes too late to change anything, their order decides.
    applied = chosen("--outcome", "applied", "--since", "1h")
    assert set() < applied <= {e.id for e in (*mine[:-1], *other)}


def test_a_dry_run_shows_before_and_after_and_changes_nothing(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        ids = floor.take_in(*events_of(floor))
    before = contents(floor.engine)

    said = paidup("replay", "--outcome", "dead", "--dry-run")
    document = json.loads(paidup("replay", "--outcome", "dead", "--dry-run", "--json"))

    for words in ("usr_1", "lifetime", "99.00 USD succeeded", "Dry run, nothing was changed"):
        assert words in said
    assert sum(document["counts"].values()) == len(ids)
    assert set(document["counts"]) <= {"applied", "superseded"}, "which was read first is chance"
    assert document["entitlements"][0]["before"] is None
    assert document["entitlements"][0]["after"]["active"] is True
    assert document["payments"][0]["after"]["amount_minor"] == 9900
    assert contents(floor.engine) == before
    assert floor.inbox.backlog().events == 0
    monkeypatch.undo()


def test_a_dry_run_with_failures_ends_with_1_and_their_errors(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        (event_id,) = floor.take_in(events_of(floor)[-1])
        document = json.loads(paidup("replay", event_id, "--dry-run", "--json", code=1))

    (result,) = document["events"]
    assert result["status"] == "failed again"
    assert "UnreadableEvent" in result["because"]


def test_live_traffic_goes_first(floor: OpsEnv, paidup: Paidup) -> None:
    event, *_ = events_of(floor)
    other, *_ = events_of(floor, seed="b")
    floor.take_in(event)

    document = replayed(paidup, event.id, "--no-wait")
    floor.inbox.accept(parse(other.body))

    assert document["counts"] == {"queued": 1}
    (first,) = floor.inbox.claim("worker", max_events=1).entries
    assert first.key == other.id


def test_what_is_pending_by_itself_is_replayed_after_it(at_work: OpsEnv, paidup: Paidup) -> None:
    event = events_of(at_work)[-1]
    at_work.take_in(event)
    at_work.inbox.drop_done_markers()
    at_work.inbox.accept(parse(event.body))

    assert replayed(paidup, event.id)["counts"] == {"already applied": 1}
    assert at_work.requeued() == 1


def test_interrupted_it_says_how_far_it_came_and_the_same_command_does_the_rest(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch, signals: None
) -> None:
    events = [event for seed in "abcdefgh" for event in events_of(floor, seed=seed)]
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(*events)
    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 10)
    pause = Interruption.pause

    def ctrl_c_soon(self: Interruption, seconds: float) -> None:
        if floor.requeued() >= 20:
            os.kill(os.getpid(), signal.SIGINT)
        pause(self, seconds)

    monkeypatch.setattr(Interruption, "pause", ctrl_c_soon)

    said = paidup("dead", "replay", "--all", "--yes", *WHY, code=1)

    assert f"interrupted: 20 of {len(events)} were requeued" in said
    assert f"{len(events) - 20} are not started" in said
    assert "it waits for a worker" in said
    assert Counter(floor.letters().values()) == {"open": len(events)}
    floor.work()
    assert Counter(floor.letters().values()) == {"open": len(events) - 20, "replayed": 20}

    monkeypatch.setattr(Interruption, "pause", lambda _, seconds: floor.work(seconds))
    document = json.loads(paidup("dead", "replay", "--all", "--yes", *WHY, "--json"))
    assert document["asked"] == len(events) - 20
    assert floor.requeued() == len(events)
    assert set(floor.letters().values()) == {"replayed"}


def test_two_people_at_once_settle_each_event_once(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event for seed in "abcdefgh" for event in events_of(floor, seed=seed)]
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(*events)
    command = [sys.executable, "-m", "ops.cli", "dead", "replay", "--all", "--yes", "--json"]

    people = [
        subprocess.Popen(
            [*command, "--reason", "mended", "--as", who],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for who in ("ada", "bob")
    ]
    until(lambda: all(p.poll() is not None for p in people), meanwhile=floor.work, seconds=60)
    said = [(*person.communicate(), person.returncode) for person in people]

    # Who came after the other was done found nothing to do, which is 1 and said so.
    documents = [json.loads(out) for out, _, code in said if code == 0]
    assert all(code == 0 or b"no open dead letter matches" in err for _, err, code in said)
    assert sum(document["requeued"] for document in documents) == len(events)
    assert floor.requeued() == len(events)
    assert len(floor.audited("dead_letter.replayed")) == len(events)
    assert len(floor.audited("replay.settled")) == len(events)
    assert floor.scalars("SELECT count(*) FROM stripe_events") == [len(events)]
    assert set(floor.letters().values()) == {"replayed"}


def test_a_server_that_goes_away_in_the_middle_is_shown_with_how_far_it_came(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = floor.take_in(events_of(floor)[-1])

    def refuse(*_: object, **__: object) -> None:
        raise redis.exceptions.ConnectionError("refused")

    monkeypatch.setattr("runtime.inbox.inbox.Inbox.requeue", refuse)

    paidup("replay", event_id, *WHY, code=1)

    assert "Redis failed: refused; 0 of 1 were requeued" in paidup.err
    assert floor.audited("replay.requested") == []


def test_an_event_that_left_the_inbox_without_a_trace_is_shown_so(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = floor.take_in(events_of(floor)[-1])

    class Flushed:
        def pause(self, _: float) -> None:
            floor.client.flushall()

    monkeypatch.setattr("ops.replay.start.Interruption", Flushed)

    (result,) = replayed(paidup, event_id, code=1)["events"]

    assert result["status"] == "lost"


def test_a_replay_without_a_worker_says_so(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch, signals: None
) -> None:
    (event_id,) = floor.take_in(events_of(floor)[-1])

    class Signalled(Interruption):
        def pause(self, seconds: float) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().pause(seconds)

    monkeypatch.setattr("ops.replay.start.Interruption", Signalled)

    paidup("replay", event_id, *WHY, code=1)

    assert "no worker is running: start `paidup worker`" in paidup.err


def test_the_answer_is_whole_in_a_pipe_and_nothing_blinks(at_work: OpsEnv, paidup: Paidup) -> None:
    (event_id,) = at_work.take_in(events_of(at_work)[-1])

    said = paidup("replay", event_id, "--rate", "100", *WHY)

    assert "\x1b" not in said + paidup.err
    assert paidup.err == "no worker is running: start `paidup worker`\n"
    row = next(line for line in said.splitlines() if event_id in line)
    assert row.split() == [event_id, "already", "applied", "-"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([*WHY], 2, "name events, or give a filter, or --all"),
        (["evt_1", "--outcome", "ignored", *WHY], 2, "one of the three"),
        (["evt_1"], 2, "--reason is missing"),
        (["evt_1", "--as", "", "--reason", "x"], 2, "write 1 to 500 characters"),
        (["evt_unknown", *WHY], 1, "neither a settled event nor a dead letter: evt_unknown"),
        (["\udcff", *WHY], 1, "neither a settled event nor a dead letter"),
        (["evt_unknown", "--dry-run"], 1, "neither a settled event nor a dead letter"),
        (["--outcome", "lost", *WHY], 2, "is not one of"),
        (["--error", "x", "--outcome", "applied", *WHY], 2, "--error selects dead letters"),
        (["--unfetched", "--error", "x", *WHY], 2, "--unfetched selects settled events"),
        (["--unfetched", "--outcome", "dead", *WHY], 2, "--unfetched selects settled events"),
        (["--unfetched", *WHY], 1, "nothing was changed"),
        (["--type", "nonsense", *WHY], 2, "is not an event type"),
        (["--since", "1h", "--until", "2h", *WHY], 2, "is not before"),
        (["--user", "usr_nobody", *WHY], 1, "no settled event and no dead letter matches"),
        (["--customer", "cus_nobody", *WHY], 1, "no settled event and no dead letter matches"),
        (["--all", "--rate", "-1", *WHY], 2, "not in the range"),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(
    arguments: list[str], code: int, said: str, floor: OpsEnv, paidup: Paidup
) -> None:
    paidup("replay", *arguments, code=code)

    assert said in paidup.err
    assert floor.requeued() == 0
    with floor.engine.connect() as connection:
        written = "SELECT count(*) FROM audit_logs WHERE action <> 'catalogue.applied'"
        assert connection.scalar(text(written)) == 0
