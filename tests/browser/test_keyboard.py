"""Tab reaches the goal, and each step on the way can be seen."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import keyboard
from tests.browser.driver import session
from tests.browser.keyboard import walk_through, walk_to

pytestmark = [pytest.mark.browser, pytest.mark.servers]


@pytest.fixture
def page(browser: Browser, small_site: str) -> Iterator[Page]:
    with session(browser, small_site) as context:
        yield context.new_page()


def test_the_way_to_a_goal_names_what_was_passed(page: Page) -> None:
    page.goto("/good")

    assert walk_to(page, page.get_by_text("Second")) == ["a First", "a#second Second"]


def test_the_way_through_a_page_ends(page: Page) -> None:
    page.goto("/good")

    assert walk_through(page) == ["a First", "a#second Second"]


def test_a_goal_that_takes_no_focus_is_not_reached(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyboard, "MOST_STEPS", 2)
    page.goto("/good")

    with pytest.raises(AssertionError, match="was not reached by Tab; passed: a First"):
        walk_to(page, page.get_by_text("Text"))


def test_a_focus_without_an_outline_fails(page: Page) -> None:
    page.goto("/bare")

    with pytest.raises(AssertionError, match=r"a#bare Not to be seen .*has no outline"):
        walk_through(page)


def test_a_focus_under_another_part_fails(page: Page) -> None:
    page.goto("/covered")

    with pytest.raises(AssertionError, match="lies under div"):
        walk_through(page)


def test_a_focus_outside_the_window_fails(page: Page) -> None:
    page.goto("/away")

    with pytest.raises(AssertionError, match="a#away Away has the focus and is outside the window"):
        walk_through(page)


def test_a_part_that_reaches_beyond_the_window_is_seen(page: Page) -> None:
    page.goto("/long")

    assert walk_through(page) == ["div#high Long"]
