"""Measure whether a page fits its window."""

from typing import Final

from playwright.sync_api import Page

_WIDER: Final = """
    () => {
        const room = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= room) {
            return [];
        }
        return [...document.body.querySelectorAll("*")]
            .filter(element => element.getBoundingClientRect().right > room + 1)
            .map(element => element.tagName.toLowerCase() + (element.id && "#" + element.id));
    }
"""


_SCROLLING: Final = """
    () => [...document.querySelectorAll(".scroll")]
        .filter(element => element.scrollWidth > element.clientWidth + 1)
        .map(element => element.ariaLabel || element.getAttribute("aria-labelledby"))
"""


def cut_tables(page: Page) -> list[str]:
    """Return the names of the tables of a page that have to be scrolled sideways."""
    found: list[str] = page.evaluate(_SCROLLING)
    return found


def too_wide(page: Page) -> list[str]:
    """Return the parts of a page that reach beyond its window; none if it needs no scrolling.

    A table may scroll within a box of its own: the page itself must not.
    """
    found: list[str] = page.evaluate(_WIDER)
    return found
