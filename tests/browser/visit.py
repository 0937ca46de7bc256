"""Visit the console as a person: log in by its page, in a session that is watched."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response

from tests.browser.driver import WIDE, PageForm, session
from tests.browser.watch import Watch, watching

LOGIN: Final = "/login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A page of one person, and what is watched about it."""

    page: Page
    watch: Watch


@contextmanager
def visiting(
    browser: Browser,
    url: str,
    *,
    token: str | None = None,
    form: PageForm = WIDE,
    scripts: bool = True,
) -> Iterator[Visit]:
    """Open a page in a session of its own, logged in if there is a token.

    Raises:
        AssertionError: at the end, if the page did what none may do.
    """
    with session(browser, url, form, scripts=scripts) as context, watching(context, url) as watch:
        page = context.new_page()
        if token:
            log_in(page, token)
        yield Visit(page=page, watch=watch)


def log_in(page: Page, token: str) -> None:
    """Log in as a person does, and wait for the page behind.

    Raises:
        AssertionError: with what the page said instead.
    """
    page.goto(LOGIN)
    field = page.get_by_label("Token")
    assert field.count(), _refusal(page)
    field.fill(token)
    with page.expect_response(_is_answer) as answered:
        page.get_by_role("button", name="Log in").click()
    if answered.value.status != HTTPStatus.SEE_OTHER:
        page.wait_for_load_state()
        raise AssertionError(_refusal(page))
    page.wait_for_url(lambda there: urlsplit(there).path != LOGIN)


def _refusal(page: Page) -> str:
    return f"not logged in: {page.locator('main').inner_text()}"


def _is_answer(response: Response) -> bool:
    return bool(response.request.method == "POST" and urlsplit(response.url).path == LOGIN)
