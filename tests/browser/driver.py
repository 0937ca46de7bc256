"""Drive the Chromium of the system: headless, in the forms that people look at pages in.

Playwright sends commands to the program that is installed; it downloads no browser of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.presence import browser_program, what_is_missing

_ARGUMENTS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What is not on this machine cannot be reached, by a page or by the browser itself.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_SECONDS: Final = 30.0
"""How long a step may take on a busy machine before it counts as one that never ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageForm:
    """The size, the scale and the colours of a page, and whether it is held in a hand."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    scale: int = 1
    held: bool = False
    """On a phone, a page without ``<meta name="viewport">`` is drawn as wide as on a desk."""


WIDE: Final = PageForm(name="light-wide", width=1280, height=900)
FORMS: Final = (
    WIDE,
    PageForm(name="dark-wide", width=1280, height=900, scheme="dark"),
    PageForm(name="light-phone", width=390, height=844, held=True),
    PageForm(name="dark-phone", width=390, height=844, held=True, scheme="dark"),
)
ZOOMED: Final = PageForm(name="zoomed", width=640, height=450, scale=2)
"""``WIDE`` at 200 %. The zoom of a browser halves the page's own pixels in both directions and
draws each with twice as many of the screen's, so layout and media queries see what they see here.
"""


class NoBrowser(Exception):
    """No browser can be driven here; the text says what to install."""


@contextmanager
def launched() -> Iterator[Browser]:
    """Launch the browser, with an empty folder of its own, and close it in the end.

    Raises:
        NoBrowser: naming what to install.
    """
    if missing := what_is_missing():
        raise NoBrowser(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_program(), args=list(_ARGUMENTS)
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def session(
    browser: Browser, base_url: str, form: PageForm = WIDE, *, scripts: bool = True
) -> Iterator[BrowserContext]:
    """Open a session with no cookies in a form; ``scripts=False`` runs none of a page's own.

    Paths that a page goes to begin at ``base_url``.
    """
    context = browser.new_context(
        base_url=base_url,
        viewport={"width": form.width, "height": form.height},
        color_scheme=form.scheme,
        device_scale_factor=form.scale,
        is_mobile=form.held,
        has_touch=form.held,
        java_script_enabled=scripts,
        reduced_motion="reduce",
        service_workers="block",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(_SECONDS * 1000)
    try:
        yield context
    finally:
        context.close()
