"""A person logs in by the page, with scripts and without; a refusal comes with its words."""

import pytest
from playwright.sync_api import Browser

from tests.browser.small_site import TOKEN
from tests.browser.visit import visiting

pytestmark = [pytest.mark.browser, pytest.mark.servers]


@pytest.mark.parametrize("scripts", [True, False])
def test_whoever_has_a_token_is_logged_in(
    browser: Browser, small_site: str, *, scripts: bool
) -> None:
    with visiting(browser, small_site, token=TOKEN, scripts=scripts) as visit:
        assert visit.page.url == f"{small_site}/good"


def test_a_refusal_is_an_error_with_the_words_of_the_page(
    browser: Browser, small_site: str
) -> None:
    with (
        pytest.raises(AssertionError, match=r"not logged in: A page\s+Token"),
        visiting(browser, small_site, token="another"),
    ):
        pass


def test_without_a_token_nobody_is_logged_in(browser: Browser, small_site: str) -> None:
    with visiting(browser, small_site) as visit:
        assert visit.page.url == "about:blank"
