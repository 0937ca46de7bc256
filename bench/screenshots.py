"""``make screenshots``: take the pictures of the console that stand in the README.

    python -m bench.screenshots [--to FOLDER] [--all FOLDER]

A shop is started in which everything has happened that the pages show: an hour of traffic,
lifecycles of customers, dead letters, grants. An operator logs in and looks at it in the Chromium
of this system. ``--all`` takes every page instead, whole, in each of five forms (light and dark,
wide and phone, 200 %), to be looked at and not to be kept.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from playwright.sync_api import Browser, Page, expect

from bench.sample_hour import look_back_on_an_hour
from ops.up.servers.account import temporary_folder
from tests.browser.driver import FORMS, WIDE, ZOOMED, NoBrowser, PageForm, launched
from tests.browser.page_paths import PageRoute, paths_of, routes_of_console
from tests.browser.sample_shop import SampleShop, open_shop
from tests.browser.visit import visiting

TARGET: Final = Path(__file__).parents[1] / "docs" / "pictures"
PICTURES: Final[Mapping[str, tuple[str, str]]] = {
    "console-overview": ("overview.show", ""),
    "console-preview": ("jobs.show", "1"),
}
"""The endpoint of the page in each picture of the README, and what it shows."""

_FORM: Final = replace(WIDE, height=980)
"""As high as the overview down to its first charts."""

_BUSY_MS: Final = 60_000
_PERSON: Final = "olga"


class NotShown(Exception):
    """A picture has no page to show."""


def paths_of_pictures(routes: Iterable[PageRoute]) -> dict[str, str]:
    """Return the path of the page in each picture.

    Raises:
        NotShown: naming the picture whose page the console does not have.
    """
    by_endpoint = {route.endpoint: route for route in routes}
    paths = {}
    for name, (endpoint, about) in PICTURES.items():
        if endpoint not in by_endpoint:
            raise NotShown(f"{name}: the console has no page {endpoint}; change PICTURES")
        route = by_endpoint[endpoint]
        paths[name] = route.path(dict.fromkeys(route.parameters, about))
    return paths


def file_name(path: str) -> str:
    """Return a name for the picture of a page, without what a file's name cannot have."""
    return re.sub(r"[^\w.=-]+", "-", path).strip("-") or "overview"


def take_pictures(
    browser: Browser,
    url: str,
    paths: Mapping[str, str],
    folder: Path,
    *,
    token: str,
    form: PageForm = WIDE,
    whole: bool = False,
) -> None:
    """Write a PNG file for each path, by its name: what is in the window, or the whole page.

    Raises:
        AssertionError: a page did what none may do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with visiting(browser, url, token=token, form=form) as visit:
        for name, path in paths.items():
            visit.page.goto(path)
            _settle(visit.page)
            visit.page.screenshot(path=folder / f"{name}.png", full_page=whole)


def _settle(page: Page) -> None:
    """Wait until fonts and pictures are there, and the page has nothing more to get or to find."""
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=_BUSY_MS)


def _take_all(browser: Browser, shop: SampleShop, routes: Sequence[PageRoute], to: Path) -> None:
    with shop.system.engine.connect() as connection:
        found = paths_of(routes, connection)
    paths = {file_name(rule): path for rule, (path,) in found.items()}
    for form in (*FORMS, ZOOMED):
        token = shop.tokens[_PERSON]
        take_pictures(browser, shop.url, paths, to / form.name, token=token, form=form, whole=True)


@click.command()
@click.option("--to", type=click.Path(path_type=Path), default=TARGET, help="Where they are put.")
@click.option("--all", "everything", type=click.Path(path_type=Path), help="Take every page.")
def main(to: Path, everything: Path | None) -> None:
    """Take the pictures of the README, or all."""
    folder = temporary_folder("paidup-shop-")
    try:
        with launched() as browser, open_shop(folder, look_back_on_an_hour) as shop:
            routes = routes_of_console(shop.system.stack.environ)
            if everything:
                _take_all(browser, shop, routes, everything)
            else:
                token = shop.tokens[_PERSON]
                paths = paths_of_pictures(routes)
                take_pictures(browser, shop.url, paths, to, token=token, form=_FORM)
    except (NoBrowser, NotShown) as refused:
        raise click.ClickException(str(refused)) from refused
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
