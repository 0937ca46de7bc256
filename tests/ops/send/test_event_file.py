import io
import json
import os
import pty
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import pytest

from ops.errors import CommandFailed
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.send.event_file import EventFile, open_events

LIFECYCLE = compose("onetime", shape=Shape.NEW, seed="f", now=1_795_300_000, user_id="usr_7")
BODIES = [event.body for event in LIFECYCLE.events]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def bodies(path: Path, *, shuffle: int | None = None, duplicates: int = 0) -> list[bytes]:
    with open_events(str(path), shuffle=shuffle, duplicates=duplicates) as found:
        return [event.body for event in found.events()]


def refusal(path: Path) -> str:
    with pytest.raises(CommandFailed) as refused:
        bodies(path)
    return str(refused.value)


def one_line(body: bytes) -> bytes:
    return json.dumps(json.loads(body)).encode()


def test_each_line_is_sent_byte_for_byte(path: Path) -> None:
    lines = [one_line(body) for body in BODIES]
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\n\n")

    assert bodies(path) == lines


def test_a_file_knows_its_events_and_users(path: Path) -> None:
    path.write_bytes(b"\n".join(map(one_line, BODIES)))

    with open_events(str(path), shuffle=None, duplicates=1) as found:
        assert isinstance(found, EventFile)
        assert (found.count, found.deliveries) == (len(BODIES), 2 * len(BODIES))
        assert (list(found.users), found.first_event) == (["usr_7"], LIFECYCLE.events[0].id)


@pytest.mark.parametrize(
    "words",
    [
        {"object": "customer", "metadata": {"user_id": "usr_9"}},
        {"object": "checkout.session", "client_reference_id": "usr_9"},
        {"object": "invoice", "subscription_details": {"metadata": {"user_id": "usr_9"}}},
    ],
)
def test_a_user_is_found_in_each_place_that_may_name_one(path: Path, words: dict[str, Any]) -> None:
    kind = {"customer": "customer.created", "invoice": "invoice.paid"}.get(
        words["object"], "checkout.session.completed"
    )
    event = json.loads(BODIES[0])
    event |= {"type": kind, "data": {"object": {"id": "x_1", "customer": "cus_1", **words}}}
    path.write_bytes(json.dumps(event).encode())

    with open_events(str(path), shuffle=None, duplicates=0) as found:
        assert list(found.users) == ["usr_9"]


def test_a_line_of_an_export_gives_what_stripe_signed(path: Path) -> None:
    body = json.dumps(json.loads(BODIES[0]), indent=2)
    line = {"id": "evt", "payload": body, "payload_sha256": sha256(body.encode()).hexdigest()}
    path.write_text(json.dumps(line) + "\n")

    assert bodies(path) == [body.encode()]

    path.write_text(json.dumps({**line, "payload_sha256": "0" * 64}) + "\n")
    assert "line 1: its payload does not match payload_sha256" in refusal(path)


def test_one_event_over_several_lines_is_one_event(path: Path) -> None:
    body = json.dumps(json.loads(BODIES[0]), indent=2).encode()
    path.write_bytes(body)

    assert bodies(path) == [body]


def test_every_bad_line_is_named_and_nothing_is_sent(path: Path) -> None:
    good = one_line(BODIES[0])
    listed = json.dumps({"object": "list", "data": []}).encode()
    path.write_bytes(b"\n".join([good, b"{", b"7", b"[]", listed, b'{"id": "evt_1"}', good]))

    said = refusal(path)

    assert said.startswith(f"{path}: 5 lines are no events, nothing was sent:")
    assert "line 2: it is not JSON" in said
    assert "line 3: it is not a JSON object" in said
    assert "line 4: it is a list" in said
    assert "line 5: it is a list" in said
    assert "line 6: " in said
    assert "line 1" not in said
    assert "line 7" not in said


def test_of_many_bad_lines_the_first_are_named_and_all_are_counted(path: Path) -> None:
    path.write_bytes(b"no\n" * 30)

    said = refusal(path)

    assert said.startswith(f"{path}: 30 lines are no events")
    assert said.count("is not JSON") == 10
    assert said.endswith("and 20 more")


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_an_event_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert "has no event" in refusal(path)


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    assert refusal(path) == f"{path}: No such file or directory; nothing was sent"


def test_a_file_can_be_shuffled_and_repeated(path: Path) -> None:
    lines = [one_line(body) for body in BODIES]
    path.write_bytes(b"\n".join(lines))

    mixed = bodies(path, shuffle=1, duplicates=1)

    assert mixed != lines + lines
    assert sorted(mixed) == sorted(lines + lines)
    assert mixed == bodies(path, shuffle=1, duplicates=1)


def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [one_line(body) for body in BODIES]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n".join(lines))))

    with open_events("-", shuffle=None, duplicates=0) as found:
        assert found.name == "standard input"
        assert [event.body for event in found.events()] == lines


def test_a_terminal_is_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal, os.fdopen(ours):
        monkeypatch.setattr(sys, "stdin", terminal)
        with (
            pytest.raises(click.UsageError, match="standard input is a terminal"),
            open_events("-", shuffle=None, duplicates=0),
        ):
            pass
