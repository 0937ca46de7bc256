"""A browser for the tests of the console's pages.

- ``browser``: Chromium, one for all tests of this folder.
- ``small_site``: the URL of a site of the tests' own.
- ``shop``: a whole stack in which everything has happened that pages show. What a test changes in
  it stays for the others.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.up.servers.account import temporary_folder
from tests.browser.presence import what_is_missing
from tests.browser.sample_shop import SampleShop, open_shop
from tests.browser.small_site import serving_small_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if what_is_missing():
    # They import Playwright. `test_presence.py` says what is left out.
    _everything = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    collect_ignore = sorted(_everything - {"test_presence.py"})


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Yield a browser; its driver must not outlive the folder, because it runs an event loop."""
    from tests.browser.driver import launched  # noqa: PLC0415 - only these tests need Playwright

    with launched() as started:
        yield started


@pytest.fixture(scope="package")
def small_site() -> Iterator[str]:
    """Yield the URL of the site of the tests' own."""
    with serving_small_site() as url:
        yield url


@pytest.fixture(scope="package")
def shop() -> Iterator[SampleShop]:
    """Yield a shop, whose servers the account of PostgreSQL can reach."""
    folder = temporary_folder("paidup-shop-")
    try:
        with open_shop(folder) as opened:
            yield opened
    finally:
        shutil.rmtree(folder, ignore_errors=True)
