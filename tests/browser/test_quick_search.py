"""The search on top of each page: a key leads there, hits appear while one types, keys choose."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.sample_shop import SampleShop
from tests.browser.visit import visiting

pytestmark = [pytest.mark.browser, pytest.mark.servers]


@pytest.fixture
def page(browser: Browser, shop: SampleShop) -> Iterator[Page]:
    """A page without anything to do, of a person who is logged in."""
    with visiting(browser, shop.url, token=shop.tokens["vera"]) as visit:
        visit.page.goto("/plans")
        yield visit.page


def box(page: Page) -> Locator:
    """Return the search."""
    return page.get_by_role("banner").get_by_role("searchbox")


def hits(page: Page) -> Locator:
    """Return what the search lists below itself."""
    return page.locator("#quick-hits").get_by_role("link")


@pytest.mark.parametrize("key", ["Control+k", "Meta+k"])
def test_a_key_leads_to_the_search(page: Page, key: str) -> None:
    page.keyboard.press(key)

    expect(box(page)).to_be_focused()


def test_hits_appear_while_one_types_and_arrows_and_enter_lead_there(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("usr_fa")
    expect(hits(page)).to_contain_text(["usr_fay"])

    page.keyboard.press("ArrowDown")
    expect(hits(page).first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(box(page)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("usr_fay")


def test_escape_closes_the_hits(page: Page) -> None:
    box(page).press_sequentially("usr_fa")
    expect(hits(page)).to_contain_text(["usr_fay"])
    page.keyboard.press("ArrowDown")

    page.keyboard.press("Escape")

    expect(hits(page)).to_have_count(0)
    expect(box(page)).to_be_focused()


def test_enter_searches_for_what_is_typed(page: Page) -> None:
    box(page).fill("premium")
    box(page).press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("premium")
