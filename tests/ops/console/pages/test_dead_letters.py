import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from ops.console.pages.dead_letters import dead_letter_pages
from ops.console.pages.events import event_pages
from ops.console.pages.inbox import PageInbox
from ops.console.pages.jobs import job_pages
from ops.console_tokens import Role
from runtime.event_body import parse
from runtime.failures.dead_letters import DeadLetterDraft, dead_letter
from runtime.settings import Settings
from tests.ops.console.pages.conftest import Pages
from tests.ops.console.pages.page_client import HOSTILE, PageClient, ShownPage
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

LIST = "/dead-letters/list"


@pytest.fixture
def client(
    client_of: Callable[[Pages], PageClient], page_settings: Settings, books: SeededDatabase
) -> Iterator[PageClient]:
    inbox = PageInbox(page_settings)
    yield client_of(
        lambda frame: [
            dead_letter_pages(frame, inbox, books.engine),
            event_pages(frame, inbox, lambda *_: None, books.engine),
            job_pages(frame, books.engine),
        ]
    )
    inbox.close()


def fail(
    engine: Engine,
    at: datetime,
    *keys: str,
    error: str = "it has no id",
    type_: str = "invoice.paid",
    error_type: str = "UnreadableEvent",
) -> None:
    """Make dead letters that all failed at one time."""
    drafts = [
        DeadLetterDraft(
            key=key,
            event_type=type_,
            body=b'{"data": {"object": {"customer": "cus_%s"}}}' % key.encode(),
            error_type=error_type,
            error=error,
            attempts=1,
            origin="stripe",
            received_at=at,
            first_failed_at=at,
            failed_at=at,
        )
        for key in keys
    ]
    dead_letter(engine, drafts)


def plans(books: SeededDatabase) -> list[tuple[str, int, str, str]]:
    query = text("SELECT action, items, actor, reason FROM bulk_plans ORDER BY id")
    with books.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def items(books: SeededDatabase) -> set[str]:
    with books.engine.connect() as connection:
        return set(connection.scalars(text("SELECT key FROM bulk_items")))


def group_of(client: PageClient, error: str) -> ShownPage:
    """Follow the link of an error."""
    return client.get(client.get("/dead-letters").main.links()[error])


class TestShowAll:
    def test_letters_that_failed_alike_stand_together(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1", "evt_2")
        fail(books.engine, books.now, "evt_3", error="boom", error_type="KeyError")

        rows = client.get("/dead-letters").main.rows()

        assert {(row[0], row[2]) for row in rows} == {
            ("UnreadableEvent it has no id", "2"),
            ("KeyError boom", "1"),
        }

    def test_discarded_letters_have_a_list_of_their_own(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1")
        with books.engine.begin() as connection:
            connection.execute(text("UPDATE dead_letters SET state = 'discarded'"))

        assert "No dead letter is open" in client.get("/dead-letters").text
        assert len(client.get("/dead-letters", state="discarded").main.rows()) == 1

    def test_a_conflict_in_redis_is_shown_before_it_is_a_letter(
        self, client: PageClient, floor: OpsEnv
    ) -> None:
        first = floor.books.compose("first_paid").events[0]
        other = first.payload
        other["data"]["object"]["id"] = "cus_of_another"
        for body in (first.body, json.dumps(other).encode()):
            floor.inbox.accept(parse(body))

        ((key, *_),) = client.get("/dead-letters").main.rows()

        assert key.startswith(f"{first.id}#")
        assert client.get(client.get("/dead-letters").main.links()[key]).status == 200


class TestShowGroup:
    def test_pages_lose_no_letter_of_one_second(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        keys = [f"evt_{number:03}" for number in range(120)]
        fail(books.engine, books.now, *keys)

        found: list[str] = []
        page = group_of(client, "UnreadableEvent")
        assert "All 120 that match" in page.text
        found += [row[1] for row in page.main.rows()]
        while url := page.main.links().get("Older"):
            page = client.get(url)
            found += [row[1] for row in page.main.rows()]

        assert sorted(found) == keys

    def test_a_filter_finds_letters_by_error_type_and_what_they_name(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1", error="one thing")
        fail(books.engine, books.now, "evt_2", error="another", type_="charge.refunded")

        assert [row[1] for row in client.get(LIST, error="one").main.rows()] == ["evt_1"]
        assert [row[1] for row in client.get(LIST, type="charge.refunded").main.rows()] == ["evt_2"]
        assert len(client.get(LIST, since="1h").main.rows()) == 2
        assert not client.get(LIST, until="1h").main.rows()

    def test_all_that_match_become_a_plan_that_is_previewed(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, *(f"evt_{n:03}" for n in range(60)))
        fail(books.engine, books.now, "evt_other", error="boom")
        page = group_of(client, "UnreadableEvent")
        page = page if "All 60" in page.text else client.get(LIST, error="no id")
        form: dict[str, Any] = {**page.main.form("Plan a replay")}
        form |= {"reason": "1.2 reads it", "which": "all"}

        made = client.post(LIST, **form | {"action": "replay"})

        assert plans(books) == [("replay", 60, "console:ada", "1.2 reads it")]
        assert "evt_other" not in items(books)
        assert "A preview is made" in client.get(made.location).text

    def test_only_chosen_letters_become_a_plan(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1", "evt_2", "evt_3")
        form: dict[str, Any] = {**client.get(LIST).main.form("Plan a discard")}
        sent = form | {"reason": "tests", "which": "chosen", "key": ["evt_1", "evt_3"]}

        client.post(LIST, **sent | {"action": "discard"})

        assert items(books) == {"evt_1", "evt_3"}

    def test_a_form_that_is_sent_twice_makes_one_plan(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1")
        form: dict[str, Any] = {**client.get(LIST).main.form("Plan a replay")}
        sent = form | {"reason": "once", "which": "all", "action": "replay"}

        first, second = client.post(LIST, **sent), client.post(LIST, **sent)

        assert first.location == second.location
        assert len(plans(books)) == 1

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"reason": " "}, "Say why"),
            ({"which": "chosen"}, "No dead letter is chosen"),
            ({"since": "soon"}, "is no time"),
        ],
    )
    def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
        self, client: PageClient, books: SeededDatabase, given: dict[str, str], says: str
    ) -> None:
        fail(books.engine, books.now, "evt_1")
        form: dict[str, Any] = {**client.get(LIST).main.form("Plan a replay")}
        sent = form | {"reason": "why not", "which": "all", "action": "replay"} | given

        page = client.post(LIST, **sent)

        assert page.status == 422
        assert says in page.tree.one(role="alert").text
        assert plans(books) == []

    def test_a_viewer_makes_the_database_search_for_no_plan(self, client: PageClient) -> None:
        wrong = {"since": "soon", "which": "all", "action": "replay"}

        assert client.post(LIST, role=Role.VIEWER, **wrong).status == 403

    def test_a_filter_of_more_ids_than_a_page_can_look_up_is_refused(
        self, client: PageClient
    ) -> None:
        few, many = (" ".join(f"pi_{each}" for each in range(number)) for number in (20, 21))

        assert client.get(LIST, about=few).status == 200
        page = client.get(LIST, about=many)
        assert (page.status, "at most 20 ids" in page.text) == (422, True)

    def test_a_database_that_is_late_is_answered_by_a_page_that_says_so(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1")
        form: dict[str, Any] = {**client.get(LIST).main.form("Plan a replay")}
        sent = form | {"reason": "once", "which": "all", "action": "replay"}

        with books.engine.begin() as holder:
            holder.execute(text("LOCK TABLE bulk_items IN EXCLUSIVE MODE"))
            late = client.post(LIST, **sent)

        assert (late.status, plans(books)) == (503, [])
        assert "send the form again" in late.text
        assert client.post(LIST, **sent).location

    def test_a_form_without_an_action_or_a_key_is_refused(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1")

        assert client.post(LIST, reason="x", which="all", action="burn").status == 400
        assert client.post(LIST, reason="x", which="all", action="replay").status == 400
        assert plans(books) == []

    def test_a_viewer_sees_no_button_and_may_not_write(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        fail(books.engine, books.now, "evt_1")
        form: dict[str, Any] = {**client.get(LIST).main.form("Plan a replay")}
        sent = form | {"reason": "x", "which": "all", "action": "replay"}

        page = client.get(LIST, role=Role.VIEWER)

        assert not [form for form in page.main.all("form") if form.attributes.get("method")]
        assert client.post(LIST, role=Role.VIEWER, **sent).status == 403
        assert plans(books) == []

    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_hostile_text_stays_text(
        self, client: PageClient, books: SeededDatabase, hostile: str
    ) -> None:
        fail(
            books.engine,
            books.now - timedelta(hours=1),
            hostile,
            error=hostile,
            type_=hostile,
            error_type=hostile,
        )

        everything = client.get("/dead-letters")
        assert hostile in everything.text
        listed = client.get(LIST, about=hostile, error=hostile, state=hostile)
        assert listed.tree.one("input", id="field-about")["value"] == hostile
        assert hostile in client.get(LIST).text
