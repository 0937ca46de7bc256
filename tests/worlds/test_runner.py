"""The runner: a difference fails the run, and its history is shrunk and written."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from billing.catalogue import Catalogue
from tests.worlds import compare
from tests.worlds.__main__ import run, run_scenarios
from tests.worlds.adapter import Ending, Facts, ending


def asked_for(into: Path, **named: Any) -> argparse.Namespace:
    usual = {
        "worlds": 4,
        "seed": "tests",
        "rule": None,
        "without": "",
        "only": None,
        "scenario": None,
        "shuffles": 0,
        "show": 1,
        "brief": False,
        "seconds": None,
        "at_least": 0,
        "first": True,
        "into": into,
    }
    return argparse.Namespace(**{**usual, **named})


def paying_nothing(facts: Iterable[Facts], catalogue: Catalogue, now: int) -> Ending:
    return replace(ending(facts, catalogue, now), money={})


def test_a_difference_fails_the_run_and_its_shrunk_history_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "ending", paying_nothing)

    assert run(asked_for(tmp_path, rule="one-payment")) == 1

    shown = capsys.readouterr().out
    (written,) = tmp_path.glob("*.jsonl")
    events = [json.loads(line) for line in written.read_text().splitlines()]
    assert "payment pi_" in shown
    assert f": {written}" in shown
    assert 0 < len(events) < 30
    assert {event["object"] for event in events} == {"event"}


def test_a_rule_that_too_few_worlds_exercise_fails_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked_for(tmp_path, worlds=1, show=0, at_least=20)) == 1
    assert "too few worlds exercise " in capsys.readouterr().out


def test_the_history_of_a_scenario_is_written(tmp_path: Path) -> None:
    run_scenarios(asked_for(tmp_path, scenario="checkout-manual-capture"))

    lines = (tmp_path / "checkout-manual-capture.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines][-2:] == [
        "charge.captured",
        "payment_intent.succeeded",
    ]
