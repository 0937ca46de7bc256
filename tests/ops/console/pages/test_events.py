import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from ops.console.access.people import Person
from ops.console.pages.events import event_pages
from ops.console.pages.inbox import PageInbox
from ops.console.pages.jobs import job_pages
from ops.console_tokens import Role
from ops.samples.scenario import Event
from runtime.event_body import parse
from runtime.settings import Settings
from tests.ops.console.pages.conftest import Pages
from tests.ops.console.pages.page_client import HOSTILE, PageClient
from tests.ops.ops_env import OpsEnv, yesterday
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import NOW
from tests.runtime.ledger.observation_builders import BY_ADA, seen, subscription

pytestmark = pytest.mark.servers


class Looks:
    """Remembers who saw what."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, str]] = []

    def record(self, _: Connection, person: Person, kind: str, subject: str) -> None:
        self.made.append((person.actor, kind, subject))


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def client(
    client_of: Callable[[Pages], PageClient],
    page_settings: Settings,
    looks: Looks,
    books: SeededDatabase,
) -> Iterator[PageClient]:
    inbox = PageInbox(page_settings)
    yield client_of(
        lambda frame: [
            event_pages(frame, inbox, looks.record, books.engine),
            job_pages(frame, books.engine),
        ]
    )
    inbox.close()


def stated(number: int, type_: str, **of_object: object) -> Event:
    """Return an event about an object that has these fields, too."""
    fields = {"object": type_.partition(".")[0], "id": f"obj_{number}", **of_object}
    payload = {
        "id": f"evt_{number:04}",
        "object": "event",
        "type": type_,
        "created": 1_800_000_000 + number,
        "livemode": False,
        "data": {"object": fields},
    }
    return Event(
        id=f"evt_{number:04}",
        type=type_,
        created=1_800_000_000 + number,
        body=json.dumps(payload).encode(),
    )


class TestFind:
    def test_lists_settled_events_newest_first_and_leads_to_each(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        events = books.tell("first_paid").events

        page = client.get("/events")

        rows = page.main.rows()
        with books.engine.connect() as connection:
            ids = connection.scalars(text("SELECT id FROM stripe_events ORDER BY settlement DESC"))
            assert [row[-1] for row in rows] == list(ids)
        assert page.main.links()[events[0].id] == f"/events/{events[0].id}"

    def test_pages_lose_no_event_of_one_second(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        events = [stated(number, "product.updated") for number in range(120)]
        books.record(events)

        found, url = [], "/events"
        while url:
            page = client.get(url)
            found += [row[-1] for row in page.main.rows()]
            url = page.main.links().get("Older", "")

        assert found == [event.id for event in reversed(events)]
        assert client.get(page.main.links()["Newer"]).main.rows()

    def test_an_id_of_stripe_finds_the_events_about_it(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        mine = books.tell("renewal", user="usr_1", seed="a")
        books.tell("renewal", user="usr_2", seed="b")
        invoice = next(each for each in mine.events if each.type == "invoice.paid")
        customer = invoice.payload["data"]["object"]["customer"]

        of_customer = client.get("/events", about=customer).main.rows()
        of_invoice = client.get(
            "/events", about=invoice.payload["data"]["object"]["id"]
        ).main.rows()
        of_user = client.get("/events", about="usr_1").main.rows()

        assert {row[-1] for row in of_customer} <= {each.id for each in mine.events}
        assert {row[-1] for row in of_user} <= {each.id for each in mine.events}
        assert invoice.id in {row[-1] for row in of_invoice}
        assert 0 < len(of_invoice) < len(of_customer)

    def test_type_outcome_reason_and_time_narrow_the_list(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        books.tell("first_paid")
        books.record([stated(1, "product.updated")])

        given: dict[str, Any] = {
            "type": "product.updated",
            "outcome": "ignored",
            "reason": "unknown_type",
            "since": "1h",
        }
        page = client.get("/events", **given)

        assert [row[-1] for row in page.main.rows()] == ["evt_0001"]
        assert "does not read events of type product.updated" in page.text
        assert page.tree.one("input", name="type")["value"] == "product.updated"
        assert not client.get("/events", until="2020-01-01").main.rows()

    def test_the_id_of_an_event_leads_straight_to_it(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        event = books.tell("first_paid").events[0]

        assert client.get("/events", about=event.id).location == f"/events/{event.id}"

    @pytest.mark.parametrize(
        "given",
        [
            {"since": "soon"},
            {"outcome": "lost"},
            {"type": "<script>"},
            {"since": "1h", "until": "2h"},
        ],
        ids=str,
    )
    def test_what_is_wrong_with_the_form_is_said_and_kept(
        self, client: PageClient, given: dict[str, Any]
    ) -> None:
        page = client.get("/events", **given)

        assert page.status == 422
        assert page.tree.one(role="alert").text
        shown = {each["name"]: each.attributes.get("value") for each in page.main.all("input")}
        assert all(shown[name] == said for name, said in given.items() if name in shown)

    def test_the_list_says_what_to_do_where_no_event_names_what_is_looked_for(
        self, client: PageClient
    ) -> None:
        assert "compare it with Stripe's dashboard" in client.get("/events", about="cus_9").text
        assert "No event was settled yet" in client.get("/events").text

    def test_a_cursor_of_another_list_begins_again(self, client: PageClient) -> None:
        assert client.get("/events", after="xyz", type="invoice.paid").location == (
            "/events?type=invoice.paid"
        )

    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_hostile_text_in_the_form_stays_text(self, client: PageClient, hostile: str) -> None:
        page = client.get("/events", about=hostile, reason=hostile, type=hostile, since=hostile)

        assert page.tree.one("input", name="about")["value"] == hostile


class TestShow:
    def test_says_what_it_did_stated_and_changed(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        events = books.tell("first_paid").events
        with books.engine.connect() as connection:
            granting = connection.scalar(
                text("SELECT event_id FROM audit_logs WHERE action = 'entitlement.granted'")
            )
        event = next(each for each in events if each.id == granting)

        page = client.get(f"/events/{event.id}")

        assert page.tree.one("h1").text == event.type
        assert "changed the access of usr_1" in page.text
        timeline = page.tree.one("ol", class_="timeline").text
        assert timeline.index("Created at Stripe") < timeline.index("Received")
        changed = next(row for row in page.main.rows() if row[0] == "entitlement granted")
        assert "gives" in changed[3]
        assert "usr_1" in changed[2]

    def test_personal_data_is_masked_until_a_person_asks_and_is_audited(
        self, client: PageClient, books: SeededDatabase, looks: Looks
    ) -> None:
        books.record([stated(1, "customer.created", id="cus_1", email="ada@example.com")])

        page = client.get("/events/evt_0001", role=Role.VIEWER)
        assert "ada@example.com" not in page.response.text
        assert looks.made == []

        action = page.main.one("form")["action"]
        unmasked = client.post(action, role=Role.VIEWER, **page.main.form("Show personal data"))
        assert '"email": "ada@example.com"' in unmasked.text
        assert looks.made == [("console:ada", "event", "evt_0001")]

    def test_a_look_at_an_event_that_is_nowhere_is_not_audited(
        self, client: PageClient, looks: Looks
    ) -> None:
        assert client.post("/events/evt_none").status == 404
        assert looks.made == []

    def test_twins_of_one_second_lead_to_each_other(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        events = books.tell("same_second").events
        pages = [client.get(f"/events/{event.id}") for event in events]
        twins = [page for page in pages if "Twins" in page.text]

        assert len(twins) >= 2
        for page in twins:
            assert any(f"/events/{event.id}" in page.main.links().values() for event in events)

    def test_a_dead_letter_says_its_error_and_its_failures(
        self, client: PageClient, floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        event = floor.books.compose("first_paid").events[0]
        with yesterday(monkeypatch, unreadable=True):
            floor.take_in(event)

        page = client.get(f"/events/{event.id}")

        assert "could not be applied" in page.text
        assert "a reader" in page.text
        assert "Became a dead letter" in page.tree.one("ol", class_="timeline").text

    def test_an_event_in_the_inbox_says_that_it_waits(
        self, client: PageClient, floor: OpsEnv
    ) -> None:
        event = floor.books.compose("first_paid").events[0]
        floor.inbox.accept(parse(event.body))

        page = client.get(f"/events/{event.id}")

        assert "waits in the inbox" in page.text
        assert "Now: due in the inbox" in page.text

    def test_an_event_is_shown_without_redis(
        self,
        books: SeededDatabase,
        client_of: Callable[[Pages], PageClient],
        page_settings: Settings,
        looks: Looks,
    ) -> None:
        event = books.tell("first_paid").events[0]
        nowhere = PageInbox(replace(page_settings, redis_url="redis://127.0.0.1:1/0"))
        client = client_of(lambda frame: [event_pages(frame, nowhere, looks.record, books.engine)])

        page = client.get(f"/events/{event.id}")

        assert page.status == 200
        assert "The inbox was not searched" in page.text

    def test_a_replay_becomes_a_plan_of_one(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        event = books.tell("first_paid").events[0]
        form: dict[str, Any] = {**client.get(f"/events/{event.id}").main.form("Plan a replay")}
        sent = form | {"reason": "see whether it changes", "action": "replay"}

        first = client.post(f"/events/{event.id}", **sent)
        second = client.post(f"/events/{event.id}", **sent)

        assert first.location == second.location
        assert event.id in {row[1] for row in client.get(first.location).main.rows()}

    def test_a_replay_without_a_reason_is_refused_on_the_page(
        self, client: PageClient, books: SeededDatabase, looks: Looks
    ) -> None:
        event = books.tell("first_paid").events[0]
        form: dict[str, Any] = {**client.get(f"/events/{event.id}").main.form("Plan a replay")}

        page = client.post(f"/events/{event.id}", **form | {"action": "replay", "reason": ""})

        assert page.status == 422
        assert "Say why" in page.tree.one(role="alert").text
        assert looks.made == []

    def test_a_viewer_may_not_replay(self, client: PageClient, books: SeededDatabase) -> None:
        event = books.tell("first_paid").events[0]
        form: dict[str, Any] = {**client.get(f"/events/{event.id}").main.form("Plan a replay")}
        sent = form | {"reason": "x", "action": "replay"}

        assert "Plan a replay" not in client.get(f"/events/{event.id}", role=Role.VIEWER).text
        assert client.post(f"/events/{event.id}", role=Role.VIEWER, **sent).status == 403

    def test_what_the_api_showed_has_a_page(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        seen = books.observe(
            "evt_thin",
            {"object": "customer", "id": "cus_1", "created": 1_800_000_000, "email": "ada@b.de"},
        )

        assert client.get("/events/evt_thin").main.links()[seen] == f"/events/{seen}"
        page = client.get(f"/events/{seen}")
        assert page.main.links()["cus_1"]
        assert "ada@b.de" not in page.response.text

    def test_what_the_api_showed_for_no_event_says_who_had_it_asked(
        self, client: PageClient, books: SeededDatabase
    ) -> None:
        ledger_on(books.engine).observe([seen(subscription())], BY_ADA)

        page = client.get(f"/events/obs_sub_1_{NOW}")

        assert "Asked by the backfill of ada: we adopt Paidup" in " ".join(page.main.text.split())
        assert page.main.links().keys() == {"sub_1"}

    def test_an_unknown_event_says_what_to_do(self, client: PageClient) -> None:
        page = client.get("/events/evt_none")

        assert page.status == 404
        assert "never arrived here" in page.text

    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_hostile_text_in_every_field_stays_text(
        self, client: PageClient, books: SeededDatabase, hostile: str
    ) -> None:
        event = stated(1, "customer.created", id=f"cus_{hostile}", metadata={"user_id": hostile})
        books.record([event])
        at = books.now - timedelta(days=1)
        with books.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO dead_letters (event_id, type, payload, error_type, error,"
                    " attempts, first_failed_at, last_failed_at, reason, history) VALUES"
                    " (:it, :it, :it, :it, :it, 1, :at, :at, :it, :history)"
                ),
                {"it": hostile, "at": at, "history": json.dumps([{"error": hostile}])},
            )

        shown = client.get("/events/evt_0001")
        assert shown.status == 200
        assert shown.tree.one("h1").text == "customer.created"
        letter = client.get(f"/events/{hostile}".replace("%", "%25").replace("?", "%3f"))
        assert letter.status == 200
        assert hostile in letter.text
