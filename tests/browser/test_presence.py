"""One line says what was left out where no browser can be driven, and what to install."""

import os
from pathlib import Path

import pytest

from tests.browser import presence
from tests.browser.presence import VARIABLE, browser_program, what_is_missing

pytestmark = [pytest.mark.browser, pytest.mark.servers]


def programs(folder: Path, *names: str) -> dict[str, str]:
    """Return an environment in which these programs are found and no others."""
    for name in names:
        path = folder / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return {"PATH": str(folder)}


def test_the_tests_of_the_pages_run_or_say_what_they_need() -> None:
    missing = what_is_missing()
    if missing and VARIABLE not in os.environ:
        pytest.skip(f"all tests of pages in a browser: {missing}")

    assert missing is None


def test_the_first_known_browser_is_taken(tmp_path: Path) -> None:
    environ = programs(tmp_path, "google-chrome", "chromium-browser")

    assert browser_program(environ) == str(tmp_path / "chromium-browser")


def test_the_browser_that_is_named_is_taken_before_the_known(tmp_path: Path) -> None:
    environ = programs(tmp_path, "chromium", "another")

    assert browser_program({**environ, VARIABLE: "another"}) == str(tmp_path / "another")


def test_a_named_browser_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    environ = programs(tmp_path, "chromium")

    assert browser_program({**environ, VARIABLE: "another"}) is None


def test_a_missing_browser_and_a_missing_package_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "PACKAGES", ("click", "no_such_package"))
    assert what_is_missing(programs(tmp_path, "chromium")) == (
        "no_such_package not installed: run `make browser-setup`"
    )

    monkeypatch.setattr(presence, "PACKAGES", ("click",))
    assert what_is_missing({"PATH": str(tmp_path / "empty")}) == (
        f"no Chromium: install the package chromium, or name its program in {VARIABLE}"
    )
    assert what_is_missing(programs(tmp_path, "chromium")) is None
