from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

from ops.console.access.access_audit import record_look
from ops.console.access.people import Person
from ops.console.pages.audit import audit_pages
from ops.console_tokens import Role
from tests.ops.console.pages.conftest import Pages
from tests.ops.console.pages.page_client import HOSTILE, PageClient
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def client(client_of: Callable[[Pages], PageClient]) -> PageClient:
    return client_of(lambda frame: [audit_pages(frame, record_look)])


def entries(books: SeededDatabase, number: int, **given: str | None) -> None:
    """Write entries of one moment."""
    values: dict[str, str | None] = {
        "actor": "console:bob",
        "action": "grant.added",
        "target_type": "grant",
        "target_id": "grant_1",
        "user_id": None,
        "event_id": None,
        "reason": None,
        **given,
    }
    query = text(
        "INSERT INTO audit_logs (actor, action, outcome, origin, target_type, target_id, user_id,"
        " event_id, reason) SELECT :actor, :action, 'done', 'operator', :target_type, :target_id,"
        " :user_id, :event_id, :reason FROM generate_series(1, :number)"
    )
    with books.engine.begin() as connection:
        connection.execute(query, {**values, "number": number})


def looks(books: SeededDatabase) -> list[tuple[str, str]]:
    query = text("SELECT actor, target_type FROM audit_logs WHERE action = 'console.look'")
    with books.engine.connect() as connection:
        return [(actor, kind) for actor, kind in connection.execute(query)]


def test_pages_lose_no_entry_of_one_moment(client: PageClient, books: SeededDatabase) -> None:
    entries(books, 120)

    page = client.get("/audit", actor="bob")
    found = len(page.main.rows())
    while url := page.main.links().get("Older"):
        page = client.get(url)
        found += len(page.main.rows())

    assert found == 120


@pytest.mark.parametrize(
    "given",
    [
        {"actor": "carol"},
        {"action": "link.ended"},
        {"action": "link"},
        {"user": "usr_9"},
        {"event": "evt_9"},
        {"target": "link_9"},
    ],
    ids=str,
)
def test_a_filter_finds_its_entries_alone(
    client: PageClient, books: SeededDatabase, given: dict[str, str]
) -> None:
    entries(books, 3)
    entries(
        books,
        1,
        actor="cli:carol",
        action="link.ended",
        target_type="link",
        target_id="link_9",
        user_id="usr_9",
        event_id="evt_9",
        reason="it was wrong",
    )

    (row,) = client.get("/audit", **given).main.rows()  # type: ignore[arg-type]

    assert row[1] == "cli:carol"
    assert "it was wrong" in row[3]


def test_a_time_range_narrows_the_list(client: PageClient, books: SeededDatabase) -> None:
    entries(books, 1)

    assert client.get("/audit", since="1h").main.rows()
    assert not client.get("/audit", until="1h").main.rows()
    assert client.get("/audit", since="soon").status == 422


def test_an_entry_leads_to_its_event_and_says_what_changed(
    client: PageClient, books: SeededDatabase
) -> None:
    books.tell("first_paid")

    page = client.get("/audit", action="entitlement.granted")

    (row,) = page.main.rows()
    assert "gives" in row[3]
    assert row[5] in page.main.links()


def test_reading_it_is_audited_once_for_a_person_and_hour(
    client: PageClient, books: SeededDatabase
) -> None:
    for name in ("ada", "ada", "bob"):
        assert client.get("/audit", role=Role.VIEWER, name=name).status == 200

    assert looks(books) == [("console:ada", "audit"), ("console:bob", "audit")]


def test_who_cannot_be_audited_cannot_read(
    client_of: Callable[[Pages], PageClient], books: SeededDatabase
) -> None:
    def fail(connection: Connection, _: Person, __: str, ___: str) -> None:
        connection.execute(text("SELECT 1 / 0"))

    entries(books, 1)

    page = client_of(lambda frame: [audit_pages(frame, fail)]).get("/audit")

    assert page.status == 503
    assert "grant added" not in page.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_in_every_field_stays_text(
    client: PageClient, books: SeededDatabase, hostile: str
) -> None:
    for kind in (hostile, "event", "user", "bulk_plan", "payment"):
        entries(
            books,
            1,
            actor=hostile,
            action=hostile,
            target_type=kind,
            target_id=hostile,
            user_id=hostile,
            event_id=hostile,
            reason=hostile,
        )

    assert hostile in client.get("/audit").text
    named = client.get("/audit", actor=hostile, action=hostile, user=hostile, target=hostile)
    assert named.tree.one("input", id="field-actor")["value"] == hostile
