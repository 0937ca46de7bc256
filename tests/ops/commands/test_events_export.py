"""``paidup events export`` and ``paidup replay --from`` into another database."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.envelope import parse
from billing.fetching.plan import next_request, observations_in
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from ops.bulk.results import ReplayResult, ReplayStatus
from ops.export.importer import ImportRequeuer
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from ops.terminal.interrupt import Interrupted
from ops.up.servers.postgres_server import Postgres
from runtime.inbox.entries import Lane
from tests.ops.commands.exporting import another_database, exporter, lines
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import contents, customer, delivery, event, unbalanced

pytestmark = pytest.mark.servers

MEANT = ("--reason", "a new home", "--as", "ada", "--yes")
OBSERVED = b'"api_observations":null'
HISTORY = {"audit_logs", "payment_events", "stripe_events", "catalogues", "user_versions"}


@pytest.fixture
def elsewhere(postgres_server: Postgres, database_template: str) -> Iterator[SeededDatabase]:
    """The database that is to be exported."""
    with another_database(postgres_server, database_template) as books:
        yield books


@pytest.fixture
def exported(
    elsewhere: SeededDatabase, paidup: Paidup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Export the other database into a file."""
    return exporter(elsewhere, paidup, tmp_path, monkeypatch)


def counts(said: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(said)["counts"]
    return found


@pytest.mark.parametrize("shape", list(Shape))
def test_every_lifecycle_gives_the_same_rows_in_an_empty_database(
    shape: Shape,
    elsewhere: SeededDatabase,
    exported: Callable[..., Path],
    at_work: OpsEnv,
    paidup: Paidup,
) -> None:
    now = int(elsewhere.now.timestamp())
    for name in scenarios_in(shape):
        scenario = compose(name, shape=shape, seed=name, now=now, user_id=f"usr_{name}")
        for each in scenario.events:
            elsewhere.record([each])

    said = paidup("replay", "--from", str(exported()), *MEANT, "--json")

    total = sum(counts(said).values())
    assert counts(said).keys() <= {"applied", "superseded", "ignored"}
    assert total == len(at_work.scalars("SELECT id FROM stripe_events"))
    here, there = (contents(each, without=HISTORY) for each in (at_work.engine, elsewhere.engine))
    assert here == there
    assert here["facts"]
    assert here["user_entitlements"]
    assert unbalanced(at_work.engine) == []
    kept = (
        "SELECT id || received_at || payload_sha256 || md5(payload) FROM stripe_events ORDER BY 1"
    )
    with elsewhere.engine.connect() as connection:
        assert at_work.scalars(kept) == connection.scalars(text(kept)).all()


def test_a_line_has_what_stripe_sent_to_the_byte_and_what_became_of_it(
    elsewhere: SeededDatabase, exported: Callable[..., Path]
) -> None:
    body = (
        '{"id": "evt_1", "object":\t"event", "created": 1, "type": "x.y", "data": {"object": {}},'
        ' "name": "\\u00e9é\u2028"\n}'
    ).encode()
    elsewhere.settle([parse(body)])
    with elsewhere.engine.begin() as connection:
        connection.execute(text("UPDATE stripe_events SET observations = '{}'"))

    path = exported()
    (line,) = lines(path)

    assert line["payload"].encode() == body
    assert (line["outcome"], line["reason"]) == ("ignored", "unknown_type")
    assert (line["origin"], line["api_observations"]) == ("stripe", [])
    assert line["received_at"].startswith("20")
    assert path.read_bytes().count(b"\n") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(path.parent.glob("*.part"))


def test_the_filters_of_the_list_narrow_it(
    elsewhere: SeededDatabase, exported: Callable[..., Path], paidup: Paidup
) -> None:
    elsewhere.tell("onetime", user="usr_1")
    elsewhere.tell("renewal", user="usr_2", seed="r")

    assert {each["type"] for each in lines(exported("--type", "invoice.paid"))} == {"invoice.paid"}
    mine = lines(exported("--user", "usr_1"))
    assert 0 < len(mine) < len(lines(exported()))
    assert lines(exported("--until", "2020-01-01")) == []
    assert "0 events exported" in paidup.err


def test_standard_output_is_lines_and_nothing_else(
    books: SeededDatabase, floor: OpsEnv, paidup: Paidup
) -> None:
    books.tell("onetime")

    said = paidup("events", "export")

    found = [json.loads(line) for line in said.splitlines()]
    assert [each["id"] for each in found] == floor.scalars(
        "SELECT id FROM stripe_events ORDER BY settlement"
    )
    assert f"{len(found)} events exported" in paidup.err


def test_a_file_that_is_there_or_cannot_be_is_one_sentence(
    books: SeededDatabase, floor: OpsEnv, paidup: Paidup, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    paidup("events", "export", "--to", str(there), code=1)
    assert "exists already: name another file" in paidup.err
    assert there.read_text() == "mine"

    paidup("events", "export", "--to", str(tmp_path / "no" / "folder"), code=1)
    assert "No such file or directory; nothing was exported" in paidup.err
    paidup("events", "export", "--user", "usr_nobody")
    assert "0 events exported: no event names" in paidup.err
    paidup("events", "export", "--since", "2h", "--until", "3h", code=2)
    assert "is not before" in paidup.err


def test_twice_is_as_good_as_once_and_the_audit_says_who_and_why(
    elsewhere: SeededDatabase, exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    elsewhere.tell("refund_full")
    path = str(exported())
    paidup("replay", "--from", path, *MEANT)
    once = contents(at_work.engine, without={"audit_logs"})

    said = paidup("replay", "--from", path, *MEANT)

    assert "already settled" in said
    assert "more need no attention" in said
    assert contents(at_work.engine, without={"audit_logs"}) == once
    for action in ("import.requested", "import.ended"):
        (first, second) = at_work.audited(action)
        assert first == second
        assert (first[0], first[2]) == ("cli:ada", "a new home")
    paid = at_work.audited("purchase.paid")
    assert {(actor, reason) for actor, _, reason in paid} == {("cli:ada", "a new home")}


def test_broken_off_anywhere_the_same_command_does_what_is_left(
    elsewhere: SeededDatabase,
    exported: Callable[..., Path],
    at_work: OpsEnv,
    paidup: Paidup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in "abc":
        elsewhere.tell("renewal", seed=seed, user=f"usr_{seed}")
    path = str(exported())
    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 7)
    pauses = 0

    class Impatient:
        def pause(self, seconds: float) -> None:
            nonlocal pauses
            at_work.work(seconds)
            pauses += 1
            if pauses == 5:
                raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr("ops.replay.start.Interruption", Impatient)
        said = paidup("replay", "--from", path, *MEANT, code=1)
    assert "interrupted: " in said
    assert "the same command does the rest" in said
    left = len(at_work.scalars("SELECT id FROM stripe_events"))
    assert 0 < left < len(lines(Path(path)))

    done = counts(paidup("replay", "--from", path, *MEANT, "--json"))

    assert done["already settled"] == left
    assert contents(at_work.engine, without=HISTORY) == contents(elsewhere.engine, without=HISTORY)


def test_a_file_that_is_cut_at_a_line_end_while_it_is_imported_is_not_done(
    elsewhere: SeededDatabase,
    exported: Callable[..., Path],
    at_work: OpsEnv,
    paidup: Paidup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in "abcdefgh":
        elsewhere.tell("renewal", seed=seed, user=f"usr_{seed}")
    path = exported()
    whole = path.read_bytes().splitlines(keepends=True)
    missing = 9
    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 7)

    class CutsTheFile:
        def pause(self, seconds: float) -> None:
            os.truncate(path, len(b"".join(whole[:-missing])))
            at_work.work(seconds)

    with monkeypatch.context() as patched:
        patched.setattr("ops.replay.start.Interruption", CutsTheFile)
        said = paidup("replay", "--from", str(path), *MEANT, code=1)

    assert f"the file was cut while it was imported, {missing} of its events are missing" in said
    assert f"{missing} not started" in said


def test_what_an_operator_discarded_there_or_here_stays_out(
    elsewhere: SeededDatabase, exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    for number in (1, 2):
        body = event("customer.updated", customer(f"cus_{number}", "usr_1"), id=f"evt_{number}")
        elsewhere.settle([parse(body)])
    with elsewhere.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE stripe_events SET outcome = 'ignored', reason = 'discarded'"
                " WHERE id = 'evt_1'"
            )
        )
    with at_work.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dead_letters (event_id, payload, error_type, error, attempts,"
                " first_failed_at, last_failed_at, state, history) VALUES"
                " ('evt_2', '', 'x', 'x', 1, now(), now(), 'discarded', '[]')"
            )
        )
    path = str(exported())

    preview = json.loads(paidup("replay", "--from", path, "--dry-run", "--json"))
    said = json.loads(paidup("replay", "--from", path, *MEANT, "--json"))

    assert preview["counts"] == said["counts"] == {"excluded": 2}
    because = {each["event"]: each["because"] for each in said["events"]}
    assert because["evt_1"] == "discarded by an operator in the source database"
    assert "`paidup dead replay evt_2 --reason WHY` undoes it" in because["evt_2"]
    assert at_work.scalars("SELECT id FROM stripe_events") == []


def test_an_event_whose_id_is_anothers_here_fails_alone(
    elsewhere: SeededDatabase, exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    for books, number in ((elsewhere, 1), (at_work.books, 2)):
        body = event("customer.updated", customer(f"cus_{number}", "usr_1"), id="evt_1")
        books.settle([parse(body)])
    elsewhere.tell("onetime")

    said = paidup("replay", "--from", str(exported()), *MEANT, code=1)

    assert "another event with this id is settled here" in said
    assert "1 failed again" in said
    assert at_work.scalars("SELECT count(*) FROM user_entitlements WHERE active") == [1]


def test_a_dry_run_counts_and_lets_nothing_in(
    elsewhere: SeededDatabase, exported: Callable[..., Path], floor: OpsEnv, paidup: Paidup
) -> None:
    elsewhere.tell("onetime")
    elsewhere.settle([parse(event("unheard.of", {}))])
    before = contents(floor.engine)

    said = paidup("replay", "--from", str(exported()), "--dry-run")

    assert "Dry run, nothing was changed" in said
    assert "unknown_type" in said
    assert "queued" in said
    assert contents(floor.engine) == before
    assert floor.inbox.backlog().events == 0


def test_a_pipe_and_a_file_with_an_event_twice_are_taken_too(
    elsewhere: SeededDatabase,
    exported: Callable[..., Path],
    at_work: OpsEnv,
    paidup: Paidup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere.tell("onetime")
    twice = exported().read_bytes() * 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(twice)))

    said = json.loads(paidup("replay", "--from", "-", *MEANT, "--json"))

    assert said["file"] == "standard input"
    assert said["counts"]["already settled"] == said["asked"] // 2


def test_what_was_fetched_and_when_it_was_received_travel_in_the_inbox(
    elsewhere: SeededDatabase, exported: Callable[..., Path], floor: OpsEnv, paidup: Paidup
) -> None:
    elsewhere.settle([parse(event("customer.updated", customer("cus_1", "usr_1"), id="evt_1"))])
    with elsewhere.engine.begin() as connection:
        connection.execute(text("UPDATE stripe_events SET observations = '{}'"))

    said = paidup("replay", "--from", str(exported()), *MEANT, "--no-wait")

    (entry,) = floor.inbox.claim("t", lanes=(Lane.REPLAY,)).entries
    assert entry.extra["api_observations"] == []
    assert entry.extra["received_at"] == elsewhere.now.isoformat()
    assert f"1 {ReplayStatus.QUEUED}" in said


def test_a_thin_event_is_read_from_what_was_fetched_elsewhere(
    elsewhere: SeededDatabase, exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    body = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.customer.updated",
        "created": "2026-01-01T00:00:00.000Z",
        "livemode": False,
        "related_object": {"id": "cus_1", "type": "customer"},
    }
    asked = FetchRecord(targets=(FetchTarget(family="customer", stripe_id="cus_1"),))
    shown = json.dumps({**customer("cus_1", "usr_1"), "livemode": False})
    response = read_response(next_request(asked) or "", 200, elsewhere.now, shown, "2026-10-28.x")
    observed = observations_in(asked.with_response(response))
    ledger = ledger_on(elsewhere.engine)
    ledger.record([delivery(json.dumps(body).encode(), observations=observed)])

    paidup("replay", "--from", str(exported()), *MEANT)

    assert at_work.scalars("SELECT user_id FROM customers") == ["usr_1"]
    assert at_work.scalars("SELECT payload FROM api_observations") == [shown]
    assert at_work.scalars("SELECT observations[1] FROM stripe_events") == [observed[0].id]
    assert contents(at_work.engine, without=HISTORY) == contents(elsewhere.engine, without=HISTORY)


def broken(path: Path, how: str) -> None:
    good = path.read_bytes().splitlines(keepends=True)
    document = json.loads(good[1])
    ways: dict[str, Callable[[], bytes]] = {
        "cut": lambda: good[1][:-20],
        "no json": lambda: b"nonsense\n",
        "no object": lambda: b"[]\n",
        "altered": lambda: good[1].replace(b"usr_1", b"usr_2"),
        "no payload": lambda: b'{"id": "evt_1"}\n',
        "other id": lambda: good[1].replace(document["id"].encode(), b"evt_x", 1),
        "no zone": lambda: good[1].replace(b"+00:00", b""),
        "no observation": lambda: good[1].replace(OBSERVED, OBSERVED[:-4] + b"[{}]"),
        "no list": lambda: good[1].replace(OBSERVED, OBSERVED[:-4] + b"7"),
        "deep": lambda: b"[" * 100_000 + b"\n",
    }
    path.write_bytes(good[0] + ways[how]() + (b"" if how == "cut" else good[2]))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("cut", "it has no line end: the file is truncated"),
        ("no json", "it is not a line that `paidup events export` writes"),
        ("no object", "it is not a line that `paidup events export` writes"),
        ("altered", "the payload does not match payload_sha256"),
        ("no payload", "'payload' is missing"),
        ("other id", "the payload is that of evt_"),
        ("no zone", "has no time zone"),
        ("no list", "it is not a line that `paidup events export` writes"),
        ("no observation", "'api_version' is missing"),
        ("deep", "it is not a line that `paidup events export` writes"),
    ],
)
def test_one_broken_line_keeps_all_out_and_is_named(  # noqa: PLR0917 - fixtures
    how: str,
    why: str,
    elsewhere: SeededDatabase,
    exported: Callable[..., Path],
    floor: OpsEnv,
    paidup: Paidup,
) -> None:
    elsewhere.tell("onetime")
    path = exported()
    broken(path, how)

    paidup("replay", "--from", str(path), *MEANT, code=1)

    assert f"{path}, line 2: " in paidup.err
    assert why in paidup.err
    assert "nothing was imported" in paidup.err
    assert floor.inbox.backlog().events == 0


def test_a_file_that_is_cut_while_it_is_imported_says_how_many_were_requeued(
    elsewhere: SeededDatabase,
    exported: Callable[..., Path],
    floor: OpsEnv,
    paidup: Paidup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in "abcd":
        elsewhere.tell("renewal", seed=seed)
    path = exported()
    events, size = len(lines(path)), path.stat().st_size
    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 1)
    requeue = ImportRequeuer.requeue

    def cut_and_requeue(self: ImportRequeuer, batch: Any) -> list[ReplayResult]:
        os.truncate(path, size - 20)
        return requeue(self, batch)

    monkeypatch.setattr(ImportRequeuer, "requeue", cut_and_requeue)

    paidup("replay", "--from", str(path), *MEANT, "--no-wait", code=1)

    assert f"{path}, line {events}: " in paidup.err
    assert f"{events - 1} of {events} events were requeued" in paidup.err
    assert "nothing was imported" not in paidup.err
    assert floor.inbox.backlog().events == events - 1
    assert floor.scalars("SELECT outcome FROM audit_logs WHERE action = 'import.ended'") == [
        "failed"
    ]


def test_a_payload_that_is_no_event_is_named_too(
    floor: OpsEnv, paidup: Paidup, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    path.write_text(json.dumps({"payload": "{}", "payload_sha256": digest}) + "\n")

    paidup("replay", "--from", str(path), *MEANT, code=1)

    assert f"{path}, line 1: " in paidup.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--from", "nowhere", "--reason", "x"), 1, "nowhere: No such file or directory"),
        (("--from", os.devnull, "--reason", "x"), 1, "holds no event"),
        (("--from", os.devnull), 2, "--reason is missing"),
        (("--from", "f", "--all", "--reason", "x"), 2, "give no ids or filters"),
        (("--from", "f", "evt_1", "--reason", "x"), 2, "give no ids or filters"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: tuple[str, ...], code: int, said: str, floor: OpsEnv, paidup: Paidup
) -> None:
    paidup("replay", *arguments, code=code)

    assert said in paidup.err


def test_many_are_only_let_in_if_somebody_means_it(
    elsewhere: SeededDatabase, exported: Callable[..., Path], floor: OpsEnv, paidup: Paidup
) -> None:
    for seed in "abcd":
        elsewhere.tell("renewal", seed=seed)

    paidup("replay", "--from", str(exported()), "--reason", "x", code=1)

    assert "add --yes to import all of them" in paidup.err
    assert floor.inbox.backlog().events == 0
