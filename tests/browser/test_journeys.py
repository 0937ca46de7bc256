"""People reach their goals: an operator a replay, an agent a grant, two operators a bulk replay.

Each journey begins at the page after the login and ends where its person sees that it is done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from ops.samples.emails import email_of
from tests.browser.keyboard import walk_to
from tests.browser.sample_shop import SampleShop
from tests.browser.visit import visiting

pytestmark = [pytest.mark.browser, pytest.mark.servers]

JOB_MS: Final = 60_000
"""How long a preview or a job of a few events may take on a busy machine."""


@contextmanager
def at_overview(
    browser: Browser, shop: SampleShop, person: str, *, scripts: bool = True
) -> Iterator[Page]:
    """Log a person in; the page is then the overview."""
    with visiting(browser, shop.url, token=shop.tokens[person], scripts=scripts) as visit:
        yield visit.page


def navigate(page: Page, subject: str) -> None:
    """Go to the pages of a subject by the navigation."""
    page.get_by_role("navigation", name="Main").get_by_role("link", name=subject).click()


def state(page: Page) -> Locator:
    """Return what stands beside the heading of an event or a plan."""
    return page.locator("h1 + .status")


def table(page: Page, heading: str) -> Locator:
    """Return the table below a heading."""
    return page.get_by_role("region", name=heading, exact=True).get_by_role("table")


def test_an_operator_finds_a_failed_event_and_replays_it(
    browser: Browser, shop: SampleShop
) -> None:
    with at_overview(browser, shop, "olga") as page:
        page.get_by_role("term").filter(has_text="Dead letters").locator("..").get_by_role(
            "link"
        ).click()
        page.get_by_label("About").fill("usr_dia")
        page.get_by_role("button", name="Search").click()
        row = page.get_by_role("row").filter(has_text="payment_intent.succeeded")
        event = row.get_by_role("link").inner_text()
        row.get_by_role("link").click()

        expect(state(page)).to_have_text("dead letter")
        expect(page.get_by_role("main")).to_contain_text('violates check constraint "fraud_hold"')

        page.get_by_label("Why").fill("The hold of usr_dia is lifted.")
        page.get_by_role("button", name="Plan a replay").click()
        expect(state(page)).to_have_text("previewed", timeout=JOB_MS)
        expect(table(page, "What it would change")).to_contain_text("usr_dia")

        page.get_by_role("button", name="Start").click()
        expect(state(page)).to_have_text("done", timeout=JOB_MS)
        table(page, "Its events").get_by_role("link", name=event).click()
        expect(state(page)).to_have_text("applied")

        page.get_by_role("link", name="Audit of this event").click()
        expect(replay_entry(page)).to_contain_text("The hold of usr_dia is lifted.")
        expect(replay_entry(page)).to_contain_text("console:olga")


def replay_entry(page: Page) -> Locator:
    """Return the entry of the audit about the replay of a dead letter."""
    return page.get_by_role("row").filter(has_text="dead letter replayed")


def test_the_keyboard_alone_is_enough_to_replay_a_failed_event(
    browser: Browser, shop: SampleShop
) -> None:
    with visiting(browser, shop.url) as visit:
        page = visit.page
        page.goto("/login")
        write(page, page.get_by_label("Token"), shop.tokens["olga"])
        press(page, page.get_by_role("navigation").get_by_role("link", name="Dead letters"))
        write(page, page.get_by_label("About"), "usr_eva")
        row = page.get_by_role("row").filter(has_text="payment_intent.succeeded")
        press(page, row.get_by_role("link"))
        expect(state(page)).to_have_text("dead letter")

        walk_to(page, page.get_by_label("Why"))
        page.keyboard.type("The hold of usr_eva is lifted.")
        press(page, page.get_by_role("button", name="Plan a replay"))
        expect(state(page)).to_have_text("previewed", timeout=JOB_MS)
        expect(table(page, "What it would change")).to_contain_text("usr_eva")

        press(page, page.get_by_role("button", name="Start"))
        expect(state(page)).to_have_text("done", timeout=JOB_MS)
        press(page, table(page, "Its events").get_by_role("link"))
        expect(state(page)).to_have_text("applied")

        press(page, page.get_by_role("link", name="Audit of this event"))
        expect(replay_entry(page)).to_contain_text("The hold of usr_eva is lifted.")


def write(page: Page, field: Locator, text: str) -> None:
    """Walk to a field, write a text and send the form, by keyboard."""
    walk_to(page, field)
    page.keyboard.type(text)
    enter(page)


def press(page: Page, goal: Locator) -> None:
    """Walk to a link or a button and press it, by keyboard."""
    walk_to(page, goal)
    enter(page)


def enter(page: Page) -> None:
    """Press Enter and wait for the page to which it leads."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


@pytest.mark.parametrize(("user", "scripts"), [("usr_jan", True), ("usr_kim", False)])
def test_an_agent_goes_from_an_address_to_the_answer_and_a_grant(
    browser: Browser, shop: SampleShop, user: str, *, scripts: bool
) -> None:
    with at_overview(browser, shop, "olga", scripts=scripts) as page:
        search(page, email_of(user))
        expect(page.get_by_role("heading", level=1)).to_have_text(user)
        expect(page.get_by_role("main")).to_contain_text("May use nothing now")
        expect(page.get_by_role("main")).to_contain_text("was refunded in full")

        page.get_by_label("Plan", exact=True).select_option("premium")
        page.get_by_label("How long").fill("30d")
        page.get_by_label("Reason").fill("The bank held the payment up.")
        page.get_by_role("button", name="Show what would change").click()
        expect(page.get_by_role("main")).to_contain_text("Nothing has changed yet")
        effect = page.get_by_role("row").filter(has_text="signals_enabled")
        expect(effect).to_contain_text("changes")

        page.get_by_role("button", name="Give this access").click()
        expect(page.get_by_role("status")).to_contain_text("The grant is made: plan premium")
        expect(page.get_by_role("main")).to_contain_text("May use max_devices 5, signals_enabled")
        grants = page.get_by_role("group", name="Grants")
        expect(grants).to_contain_text("console:olga: The bank held the payment up.")


def test_a_viewer_reads_the_answer_and_cannot_give_access(
    browser: Browser, shop: SampleShop
) -> None:
    with at_overview(browser, shop, "vera") as page:
        search(page, email_of("usr_lea"))

        expect(page.get_by_role("heading", level=1)).to_have_text("usr_lea")
        expect(page.get_by_role("main")).to_contain_text("May use nothing now")
        expect(page.get_by_role("button", name="Show what would change")).to_have_count(0)


def search(page: Page, text: str) -> None:
    """Search by the box on top of each page."""
    box = page.get_by_role("banner").get_by_role("searchbox")
    box.fill(text)
    box.press("Enter")


def test_a_bulk_replay_runs_when_a_second_operator_has_approved_it(
    browser: Browser, shop: SampleShop
) -> None:
    with at_overview(browser, shop, "olga") as first, at_overview(browser, shop, "otto") as second:
        navigate(first, "Dead letters")
        group = first.get_by_role("row").filter(has_text="customer.subscription.created")
        group.get_by_role("link").click()
        first.get_by_label("Why").fill("The hold on these accounts is lifted.")
        first.get_by_role("button", name="Plan a replay").click()
        expect(state(first)).to_have_text("previewed", timeout=JOB_MS)
        expect(first.get_by_role("button", name="Start")).to_have_count(0)
        first.get_by_role("button", name="Ask for approval").click()
        expect(state(first)).to_have_text("waiting")
        expect(first.get_by_role("button", name="Approve")).to_have_count(0)

        navigate(second, "Jobs")
        row = second.get_by_role("row").filter(has_text="waiting")
        row.get_by_role("link").click()
        expect(second).to_have_url(first.url)
        second.get_by_role("button", name="Approve").click()
        expect(state(second)).to_have_text("done", timeout=JOB_MS)

        expect(state(first)).to_have_text("done", timeout=JOB_MS)
        expect(first.get_by_role("main")).to_contain_text("by console:otto")
