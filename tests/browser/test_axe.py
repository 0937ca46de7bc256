"""axe names what is wrong with a page, under the strictest policy and in every form."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.axe import violations
from tests.browser.driver import FORMS, ZOOMED, PageForm, session

pytestmark = [pytest.mark.browser, pytest.mark.servers]


@pytest.fixture
def page(browser: Browser, small_site: str) -> Iterator[Page]:
    with session(browser, small_site) as context:
        yield context.new_page()


def test_a_good_page_has_no_violation(page: Page) -> None:
    page.goto("/good")

    assert violations(page) == []


def test_a_field_without_a_label_is_named_with_its_place(page: Page) -> None:
    page.goto("/unlabelled")

    (found,) = violations(page)

    assert found.startswith("label (critical): ")
    assert found.endswith(": input")


@pytest.mark.parametrize("form", [*FORMS, ZOOMED], ids=lambda form: form.name)
def test_a_colour_that_is_weak_in_the_dark_only_is_found_in_the_dark_only(
    browser: Browser, small_site: str, form: PageForm
) -> None:
    with session(browser, small_site, form) as context:
        page = context.new_page()
        page.goto("/wide")
        weak = any("color-contrast" in found for found in violations(page))

    assert weak == (form.scheme == "dark")
