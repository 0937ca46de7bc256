"""The first page weighs little: what is sent of it, its styles and its scripts, as it is sent."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Response

from tests.browser.sample_shop import SampleShop
from tests.browser.visit import visiting

pytestmark = [pytest.mark.browser, pytest.mark.servers]

MOST_OF_SCRIPTS = 20_000
MOST_OF_A_PAGE = 40_000


def sent_for(page: Page, path: str) -> Mapping[str, int]:
    """Return how many bytes were sent for each thing that a page loads, by its path."""
    answers: list[Response] = []

    def keep(response: Response) -> None:
        answers.append(response)

    page.on("response", keep)
    page.goto(path)
    page.wait_for_load_state("networkidle")
    return {urlsplit(each.url).path: each.request.sizes()["responseBodySize"] for each in answers}


def test_the_first_page_is_light(browser: Browser, shop: SampleShop) -> None:
    with visiting(browser, shop.url, token=shop.tokens["olga"]) as visit:
        visit.page.context.new_cdp_session(visit.page).send("Network.clearBrowserCache")
        sent = sent_for(visit.page, "/")

    scripts = {name: size for name, size in sent.items() if name.endswith(".js")}
    assert len(scripts) == 2, sent
    assert all(sent.values()), sent
    assert sum(scripts.values()) <= MOST_OF_SCRIPTS, scripts
    assert sum(sent.values()) <= MOST_OF_A_PAGE, sent
