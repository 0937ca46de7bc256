"""A page that refreshes itself leaves alone what a person reads, types or marks.

The clock of the browser is moved, so that nobody waits for a refresh.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.sample_shop import SampleShop
from tests.browser.visit import visiting

pytestmark = [pytest.mark.browser, pytest.mark.servers]

REFRESH_MS = 5000
_MARK = "document.getSelection().selectAllChildren(document.querySelector('.sentence'))"
_MARKED = "document.getSelection().toString()"
_FOCUSED = "document.activeElement.textContent"
_HIDE = """
    () => {
        Object.defineProperty(document, "hidden", {get: () => true, configurable: true});
        Object.defineProperty(document, "visibilityState", {get: () => "hidden"});
    }
"""


@pytest.fixture
def overview(browser: Browser, shop: SampleShop) -> Iterator[Page]:
    """The overview, whose clock only a test moves."""
    with visiting(browser, shop.url, token=shop.tokens["olga"]) as visit:
        visit.page.clock.install()
        visit.page.goto("/")
        yield visit.page


def is_refresh(request: Request) -> bool:
    """Return True for a request that asks for the overview to replace a part of it."""
    return "hx-request" in request.headers and "/search" not in request.url


def refresh(page: Page) -> None:
    """Let the time of a refresh come, and wait until what came is on the page."""
    page.evaluate("document.getElementById('live').dataset.old = 'yes'")
    page.clock.run_for(REFRESH_MS)
    expect(page.locator("#live[data-old]")).to_have_count(0)


def asked_after_two_refreshes(page: Page) -> list[str]:
    """Return what the page asks for while the time of two refreshes goes by."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if is_refresh(request) else None)
    page.clock.run_for(2 * REFRESH_MS)
    page.evaluate("fetch('/healthz')")  # what was asked for before it is known by then
    return asked


def test_a_refresh_leaves_the_focus_where_it_is(overview: Page) -> None:
    overview.get_by_role("link", name="Last day").focus()

    refresh(overview)

    assert overview.evaluate(_FOCUSED) == "Last day"


def test_a_refresh_leaves_what_is_typed_in_the_search(overview: Page) -> None:
    box = overview.get_by_role("banner").get_by_role("searchbox")
    box.fill("usr_fay")

    refresh(overview)

    expect(box).to_have_value("usr_fay")
    expect(box).to_be_focused()


def test_a_refresh_waits_while_a_text_is_marked(overview: Page) -> None:
    overview.evaluate(_MARK)
    marked = overview.evaluate(_MARKED)

    assert asked_after_two_refreshes(overview) == []
    assert overview.evaluate(_MARKED) == marked != ""


def test_a_refresh_leaves_the_page_where_it_was_scrolled(overview: Page) -> None:
    overview.evaluate("window.scrollTo(0, 300)")

    refresh(overview)

    assert overview.evaluate("scrollY") == 300


def test_a_hidden_tab_asks_for_nothing(overview: Page) -> None:
    refresh(overview)
    overview.evaluate(_HIDE)

    assert asked_after_two_refreshes(overview) == []
