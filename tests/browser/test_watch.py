"""A test fails on a request elsewhere, a violated policy, and an error in the browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests.browser.driver import session
from tests.browser.watch import watching

pytestmark = [pytest.mark.browser, pytest.mark.servers]


Visit = Callable[..., None]


@pytest.fixture
def visit(browser: Browser, small_site: str) -> Visit:
    """Visit a page in a session that is watched; expect a complaint, then raise, if asked to."""

    def visited(
        path: str,
        *,
        scripts: bool = True,
        expected: str | None = None,
        raising: Exception | None = None,
    ) -> None:
        with (
            session(browser, small_site, scripts=scripts) as context,
            watching(context, small_site) as watch,
        ):
            if expected:
                watch.expect(expected)
            context.new_page().goto(path)
            if raising:
                raise raising

    return visited


@pytest.mark.parametrize("scripts", [True, False])
def test_a_good_page_passes(visit: Visit, *, scripts: bool) -> None:
    visit("/good", scripts=scripts)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_picture_of_another_host_fails_with_its_address(visit: Visit, *, scripts: bool) -> None:
    with pytest.raises(AssertionError, match=r"https://example\.com/picture\.png"):
        visit("/elsewhere", scripts=scripts)


def test_an_inline_script_fails_as_a_violation_of_the_policy(visit: Visit) -> None:
    with pytest.raises(AssertionError, match="Content Security Policy"):
        visit("/inline")


def test_an_exception_in_a_script_fails(visit: Visit) -> None:
    with pytest.raises(AssertionError, match="missing is not defined"):
        visit("/raising")


def test_an_error_on_the_console_fails(visit: Visit) -> None:
    with pytest.raises(AssertionError, match="not well"):
        visit("/complaining")


def test_scripts_do_not_run_in_a_session_without_them(visit: Visit) -> None:
    visit("/complaining", scripts=False)


def test_a_status_that_was_expected_passes_and_must_come(visit: Visit) -> None:
    visit("/nowhere", expected="status of 404")

    with pytest.raises(AssertionError, match="expected, but not seen"):
        visit("/good", expected="status of 404")


def test_a_test_that_failed_keeps_its_own_reason(visit: Visit) -> None:
    with pytest.raises(KeyError, match="the reason"):
        visit("/complaining", raising=KeyError("the reason"))
