"""The forms are what their names say, and a session begins with nothing of another."""

import pytest
from playwright.sync_api import Browser

from tests.browser.driver import FORMS, ZOOMED, NoBrowser, PageForm, launched, session
from tests.browser.layout import too_wide
from tests.browser.presence import VARIABLE

pytestmark = [pytest.mark.browser, pytest.mark.servers]

SEEN = """
    () => [innerWidth, innerHeight, devicePixelRatio,
           matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
           matchMedia("(pointer: coarse)").matches]
"""


@pytest.mark.parametrize("form", [*FORMS, ZOOMED], ids=lambda form: form.name)
def test_a_page_sees_the_size_the_scale_and_the_colours_of_its_form(
    browser: Browser, small_site: str, form: PageForm
) -> None:
    with session(browser, small_site, form) as context:
        page = context.new_page()
        page.goto("/good")

        assert page.evaluate(SEEN) == [form.width, form.height, form.scale, form.scheme, form.held]


def test_the_zoomed_form_is_half_as_wide_as_the_wide_one_and_twice_as_fine() -> None:
    wide = FORMS[0]

    assert (2 * ZOOMED.width, 2 * ZOOMED.height) == (wide.width, wide.height)
    assert ZOOMED.scale == 2 * wide.scale


def test_a_part_that_is_wider_than_its_window_is_named(browser: Browser, small_site: str) -> None:
    with session(browser, small_site, ZOOMED) as context:
        page = context.new_page()
        page.goto("/wide")
        assert too_wide(page) == ["p#wide"]

        page.goto("/good")
        assert too_wide(page) == []


def test_a_session_has_no_cookie_of_another(browser: Browser, small_site: str) -> None:
    with session(browser, small_site) as context:
        context.add_cookies([{"name": "a", "value": "b", "url": small_site}])
        assert len(context.cookies()) == 1

    with session(browser, small_site) as context:
        assert context.cookies() == []


def test_a_browser_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "no-such-browser")

    with pytest.raises(NoBrowser, match="no Chromium"), launched():
        pass
