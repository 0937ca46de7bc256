"""Every page of the console in a browser: usable by all, within its policy, without scripts too.

The pages are those of the console's own routes, in a shop where everything has happened.
`make test` looks at each in one form; `make test-all` in every form, at 200 % and by keyboard.
"""

from collections.abc import Callable, Sequence

import pytest
from playwright.sync_api import Browser, Error, Page

from tests.browser.axe import violations
from tests.browser.driver import FORMS, WIDE, ZOOMED, PageForm
from tests.browser.keyboard import walk_through
from tests.browser.layout import cut_tables, too_wide
from tests.browser.page_paths import paths_of, routes_of_console
from tests.browser.sample_shop import SampleShop
from tests.browser.visit import visiting

pytestmark = [pytest.mark.browser, pytest.mark.servers]

MAIN = ("/users/show?", "/jobs/")
"""How the paths of the main pages begin, beside the overview."""

Look = Callable[[Page], Sequence[str]]


@pytest.fixture(scope="package")
def paths(shop: SampleShop) -> list[str]:
    """The path of every page, with an id that the shop has."""
    routes = routes_of_console(shop.system.stack.environ)
    with shop.system.engine.connect() as connection:
        return [path for each in paths_of(routes, connection).values() for path in each]


def faults(
    browser: Browser,
    shop: SampleShop,
    paths: Sequence[str],
    look: Look,
    *,
    form: PageForm = WIDE,
    scripts: bool = True,
) -> dict[str, Sequence[str]]:
    """Return what a look at each page finds, by its path; pages without a fault are left out.

    Raises:
        AssertionError: a page did what none may do.
    """
    found: dict[str, Sequence[str]] = {}
    token = shop.tokens["olga"]
    with visiting(browser, shop.url, token=token, form=form, scripts=scripts) as visit:
        for path in paths:
            if seen := trouble(visit.page, path) or look(visit.page):
                found[path] = seen
    return found


def trouble(page: Page, path: str) -> Sequence[str]:
    """Go to a page, and return what kept it from being shown."""
    try:
        response = page.goto(path)
    except Error as error:  # an answer without a page, for one
        return [error.message.partition("\n")[0]]
    status = response.status if response else None
    return [] if status == 200 else [f"status {status}"]


def unreadable(page: Page) -> Sequence[str]:
    """Return what of a page is missing that each has."""
    headings = page.locator("h1").count()
    return [] if headings == 1 and page.title() else [f"{headings} headings, {page.title()!r}"]


def test_every_page_can_be_used_by_all(
    browser: Browser, shop: SampleShop, paths: Sequence[str]
) -> None:
    assert faults(browser, shop, paths, violations) == {}


def test_every_page_can_be_read_without_scripts(
    browser: Browser, shop: SampleShop, paths: Sequence[str]
) -> None:
    assert faults(browser, shop, paths, unreadable, scripts=False) == {}


def test_the_login_page_can_be_used_by_all_before_anybody_is_logged_in(
    browser: Browser, shop: SampleShop
) -> None:
    with visiting(browser, shop.url) as visit:
        visit.page.goto("/login")

        assert violations(visit.page) == []
        assert unreadable(visit.page) == []


@pytest.mark.parametrize("form", [*FORMS[1:], ZOOMED], ids=lambda form: form.name)
def test_the_main_pages_can_be_used_by_all_in_every_form(
    browser: Browser, shop: SampleShop, paths: Sequence[str], form: PageForm
) -> None:
    main = [path for path in paths if path == "/" or path.startswith(MAIN)]

    assert len(main) == 1 + len(MAIN)
    assert faults(browser, shop, main, violations, form=form) == {}
    assert faults(browser, shop, main, too_wide, form=form) == {}


@pytest.mark.slow
@pytest.mark.parametrize("form", [*FORMS[1:], ZOOMED], ids=lambda form: form.name)
def test_every_page_can_be_used_by_all_in_every_form(
    browser: Browser, shop: SampleShop, paths: Sequence[str], form: PageForm
) -> None:
    assert faults(browser, shop, paths, violations, form=form) == {}


@pytest.mark.slow
@pytest.mark.parametrize("form", [*FORMS, ZOOMED], ids=lambda form: form.name)
def test_no_page_is_wider_than_its_window(
    browser: Browser, shop: SampleShop, paths: Sequence[str], form: PageForm
) -> None:
    assert faults(browser, shop, paths, too_wide, form=form) == {}


@pytest.mark.slow
@pytest.mark.parametrize("form", [WIDE, FORMS[2]], ids=lambda form: form.name)
def test_no_table_has_to_be_scrolled_sideways(
    browser: Browser, shop: SampleShop, paths: Sequence[str], form: PageForm
) -> None:
    assert faults(browser, shop, paths, cut_tables, form=form) == {}


@pytest.mark.slow
@pytest.mark.parametrize("form", [WIDE, ZOOMED], ids=lambda form: form.name)
def test_whoever_uses_the_keyboard_alone_sees_where_they_are_on_every_page(
    browser: Browser, shop: SampleShop, paths: Sequence[str], form: PageForm
) -> None:
    def walked(page: Page) -> Sequence[str]:
        assert walk_through(page)
        return []

    assert faults(browser, shop, paths, walked, form=form) == {}
