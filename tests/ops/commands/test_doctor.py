"""``paidup doctor --delivery``, which needs no server."""

import io
import json
import time
from pathlib import Path

import pytest

from ops.cli import run
from ops.send.delivery import sign

SECRET = "whsec_" + "5f3a" * 8
BODY = b'{"id": "evt_1", "type": "customer.created", "created": 1, "data": {"object": {}}}'


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PAIDUP_DATA_DIR", str(tmp_path))


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_bytes(BODY)
    return path


def test_a_delivery_that_ingest_takes_exits_0(
    body: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = sign(BODY, SECRET, int(time.time()))

    code = run(["doctor", "--delivery", str(body), "--signature", header, "--json"])

    document = json.loads(capsys.readouterr().out)
    assert (code, document["ok"]) == (0, True)
    assert {finding["state"] for finding in document["findings"]} == {"ok"}


def test_a_delivery_from_standard_input_that_was_changed_exits_1_and_says_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BODY + b"\n")))
    header = sign(BODY, SECRET, int(time.time()))

    code = run(["doctor", "--delivery", "-", "--signature", header])

    said = " ".join(capsys.readouterr().out.split())
    assert code == 1
    assert "line break" in said
    assert SECRET not in said


def test_a_body_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.json"

    code = run(["doctor", "--delivery", str(missing), "--signature", "t=1,v1=a"])

    assert code == 1
    assert f"{missing}: No such file or directory; name a file" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--signature", "t=1,v1=a", "--restored"]])
def test_body_and_header_go_together(body: Path, more: list[str]) -> None:
    assert run(["doctor", "--delivery", str(body), *more]) == 2


def test_a_header_alone_is_wrong_use() -> None:
    assert run(["doctor", "--signature", "t=1,v1=a"]) == 2
