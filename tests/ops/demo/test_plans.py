from pathlib import Path

import pytest

from ops.demo.plans import PLANS, with_plans


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_any_plans_the_demos_are_used_and_named() -> None:
    said: list[str] = []

    environ = with_plans({"A": "1", "PAIDUP_PLANS": ""}, said.append)

    assert environ == {"A": "1", "PAIDUP_PLANS": str(PLANS)}
    assert PLANS.is_absolute()
    (line,) = said
    assert str(PLANS) in line
    assert "set PAIDUP_PLANS to your file" in line


def test_plans_in_the_current_folder_are_used() -> None:
    Path("plans.toml").touch()
    said: list[str] = []

    assert with_plans({"A": "1"}, said.append) == {"A": "1"}
    assert said == []


@pytest.mark.parametrize("name", ["PAIDUP_PLANS", "PAIDUP_PLANS_FILE"])
def test_plans_that_are_named_stand_even_if_they_are_missing(name: str) -> None:
    said: list[str] = []

    assert with_plans({name: "nowhere.toml"}, said.append) == {name: "nowhere.toml"}
    assert said == []
