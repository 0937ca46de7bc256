import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli import run
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from tests.ops.send.scripted_endpoint import Scripted, scripted

servers = pytest.mark.servers


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("STRIPE_WEBHOOK_SECRET", "PAIDUP_INGEST_BIND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAIDUP_DATA_DIR", str(tmp_path))


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as started:
        yield started


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


@servers
def test_one_lifecycle_is_sent_and_counted(
    server: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["send", "--url", server.url, "--secret", "whsec_a", "--json"]) == 0

    said = report(capsys)
    assert (said["lifecycles"], said["deliveries"], said["answers"]) == (1, 13, {"202": 13})
    assert len(server.received) == 13


@servers
def test_everything_in_both_shapes_shuffled_and_doubled(
    server: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--scenario", "all", "--shape", "both", "--shuffle", "1", "--duplicates", "1"]

    assert run(["send", *asked, "--url", server.url, "--secret", "s", "--json"]) == 0

    assert report(capsys)["lifecycles"] == 32
    bodies = [received.body for received in server.received]
    assert len(bodies) == 2 * len(set(bodies))


@servers
def test_the_same_seed_sends_the_same_events(server: Scripted) -> None:
    for _ in range(2):
        run(["send", "--url", server.url, "--secret", "s", "--seed", "again", "--user", "usr_1"])

    ids = [json.loads(received.body)["id"] for received in server.received]
    assert ids[:13] == ids[13:]
    assert all(b"usr_1" in received.body for received in server.received[12:13])


@servers
def test_a_refusal_is_named_and_is_not_success(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(403) as server:
        code = run(["send", "--url", server.url, "--secret", "s", "--count", "1"])

    said = capsys.readouterr().out
    assert code == 1
    assert "202: 12, 403: 1" in said
    assert "the script says so" in said


@servers
def test_nothing_is_drawn_into_a_pipe(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    run(["send", "--url", server.url, "--secret", "s"])

    captured = capsys.readouterr()
    assert captured.err == ""
    assert "\x1b" not in captured.out


@servers
def test_the_report_ends_with_the_users_and_what_to_try(
    server: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["send", "--url", server.url, "--secret", "s"]

    assert run([*asked, "--user", "usr 1"]) == 0
    named = capsys.readouterr().out
    assert run([*asked, "--count", "7", "--seed", "a", "--json"]) == 0
    users = json.loads(capsys.readouterr().out)["users"]
    assert run([*asked, "--count", "7", "--seed", "a"]) == 0
    counted = capsys.readouterr().out

    assert "paidup explain 'usr 1'" in named
    assert "paidup events list --user 'usr 1'" in named
    assert "users" in named
    assert len(users) == 5
    assert f"{', '.join(users)} and 2 more" in counted
    assert f"paidup explain {users[0]}" in counted


@servers
def test_only_users_whose_events_were_accepted_are_named_and_all_refusals_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--secret", "s", "--count", "2", "--seed", "a"]
    with scripted() as server:
        run(["send", "--url", server.url, *asked, "--json"])
    users = report(capsys)["users"]
    assert isinstance(users, list)
    first, second = users

    with scripted(*[403] * 13) as server:
        assert run(["send", "--url", server.url, *asked]) == 1

    said = capsys.readouterr().out
    assert "and 8 more" in said
    assert first not in said
    assert f"paidup explain {second}" in said


@servers
def test_an_endpoint_that_takes_nothing_leads_to_doctor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with scripted(*[403] * 13) as server:
        assert run(["send", "--url", server.url, "--secret", "s"]) == 1

    said = capsys.readouterr().out
    assert "paidup doctor" in said
    assert "paidup explain" not in said


@servers
def test_events_of_one_s_own_are_signed_and_sent(
    server: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = compose("onetime", shape=Shape.NEW, seed="f", now=1_795_300_000).events
    lines = [json.dumps(json.loads(event.body)) for event in events]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))

    code = run(["send", "--file", str(file), "--url", server.url, "--secret", "whsec_a"])

    said = capsys.readouterr().out
    assert code == 0
    assert [received.body.decode() for received in server.received] == lines
    assert "paidup explain usr_" in said
    assert f"{len(lines)} events" in said


@servers
def test_a_bad_line_sends_nothing_and_exits_1(
    server: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("{}\n")

    code = run(["send", "--file", str(file), "--url", server.url, "--secret", "s", "--json"])

    said = capsys.readouterr()
    assert code == 1
    assert "line 1" in said.err
    assert "line 1" in json.loads(said.out)["error"]
    assert server.received == []


@servers
def test_an_endpoint_that_is_not_there_gets_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with scripted() as server:
        url = server.url

    assert run(["send", "--url", url, "--secret", "s"]) == 1
    assert "is unreachable" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (["--url", "http://pay.example.com/x", "--secret", "s"], 1, "add --yes"),
        (["--url", "nonsense", "--secret", "s"], 1, "is not a webhook URL"),
        ([], 1, "no signing secret"),
        (
            ["--secret", "s", "--shape", "ancient", "--scenario", "onetime"],
            1,
            "onetime has no ancient shape",
        ),
        (["--scenario", "nothing"], 2, "is not one of"),
        (["--file", "x", "--scenario", "onetime"], 2, "leave out --scenario"),
        (["--file", "x", "--user", "usr_1"], 2, "leave out --user"),
        (["--file", "x", "--secret", "s"], 1, "x: No such file or directory"),
        (["--rate", "0"], 2, "is not in the range"),
        (["--shuffle", "often"], 2, "not a valid int"),
    ],
)
def test_bad_input_gets_one_sentence(
    asked: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["send", *asked]) == code

    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("0.0.0.0:1", "http://127.0.0.1:1"),
        ("[::]:1", "http://[::1]:1"),
        ("[::1]:1", "http://[::1]:1"),
    ],
)
@servers
def test_the_default_endpoint_is_where_ingest_listens(
    bind: str, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAIDUP_INGEST_BIND", bind)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_a,whsec_b")

    assert run(["send"]) == 1
    assert f"{url}/webhooks/stripe is unreachable" in capsys.readouterr().err


@servers
def test_the_default_endpoint_has_the_path_that_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAIDUP_INGEST_BIND", "127.0.0.1:1")
    monkeypatch.setenv("PAIDUP_WEBHOOK_PATH", "/hooks/")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_a")

    assert run(["send"]) == 1
    assert "http://127.0.0.1:1/hooks is unreachable" in capsys.readouterr().err
