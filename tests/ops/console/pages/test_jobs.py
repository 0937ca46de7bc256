from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from ops.bulk.plans import PlanRequest, make_plan
from ops.bulk.question import Question
from ops.bulk.targets import Selection
from ops.console.pages.jobs import job_pages
from ops.console_tokens import Role
from ops.queries.events import EventFilter
from ops.queries.parties import OWN_REALMS
from runtime.console_url import read_console_url
from runtime.settings import Settings
from tests.ops.console.pages.conftest import Pages
from tests.ops.console.pages.page_client import HOSTILE, PageClient, ShownPage
from tests.ops.console.pages.test_dead_letters import fail
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def client(client_of: Callable[[Pages], PageClient], books: SeededDatabase) -> PageClient:
    return client_of(lambda frame: [job_pages(frame, books.engine)])


@pytest.fixture
def cautious(page_settings: Settings, books: SeededDatabase) -> Any:
    """A console where more than two events need a second person."""
    client = PageClient(
        replace(page_settings, approval_above=2), lambda frame: [job_pages(frame, books.engine)]
    )
    yield client
    client.close()


PREVIEW = {"aria-labelledby": "preview"}


def plan_of(
    books: SeededDatabase, events: int = 3, *, actor: str = "console:ada", reason: str = "tests"
) -> int:
    """Make a plan that replays dead letters."""
    fail(books.engine, books.now, *(f"evt_{number:03}" for number in range(events)))
    request = PlanRequest(
        action="replay",
        actor=actor,
        reason=reason,
        selection=Selection(ids=(), wanted=EventFilter()),
        realms=OWN_REALMS,
        only_letters=True,
    )
    return make_plan(books.engine, request).result


def write(books: SeededDatabase, statement: str, **values: object) -> None:
    with books.engine.begin() as connection:
        connection.execute(text(statement), values)


def state_of(books: SeededDatabase, plan: int) -> str:
    with books.engine.connect() as connection:
        query = text("SELECT state FROM bulk_plans WHERE id = :plan")
        return str(connection.execute(query, {"plan": plan}).scalar_one())


def press(client: PageClient, plan: object, do: str, **given: Any) -> ShownPage:
    return client.post(f"/jobs/{plan}", **{"do": do, "idempotency_key": str(uuid4()), **given})


def buttons(page: ShownPage) -> set[str]:
    return {each.text for each in page.main.all("button") if "data-copy" not in each.attributes}


def test_plans_are_listed_newest_first(client: PageClient, books: SeededDatabase) -> None:
    assert "There is no plan yet" in client.get("/jobs").text
    first, second = plan_of(books), plan_of(books, reason="again")

    page = client.get("/jobs")

    assert [row[4] for row in page.main.rows()] == ["again", "tests"]
    assert page.main.links()[f"Replay {second}"] == f"/jobs/{second}"
    assert client.get("/jobs", before=str(second)).main.links()[f"Replay {first}"]


def test_a_plan_says_what_it_is_about_and_by_whom(
    client: PageClient, books: SeededDatabase
) -> None:
    page = client.get(f"/jobs/{plan_of(books)}")

    assert page.tree.one("h1").text == "Replay 3 events"
    assert "console:ada" in page.text
    assert "Nothing was done yet" in page.text
    assert [row[1] for row in page.main.rows()] == ["evt_000", "evt_001", "evt_002"]
    with books.engine.connect() as connection:
        fingerprint = connection.scalar(text("SELECT fingerprint FROM bulk_plans"))
    assert page.tree.one("code").text == fingerprint


def test_its_events_are_shown_in_pages_and_by_state(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books, 120)
    write(books, "UPDATE bulk_items SET state = 'failed', said = 'boom' WHERE position = 7")

    found, url = [], f"/jobs/{plan}"
    while url:
        page = client.get(url)
        found += [row[1] for row in page.main.rows()]
        url = page.main.links().get("Older", "")

    assert found == [f"evt_{number:03}" for number in range(120)]
    assert [row[4] for row in client.get(f"/jobs/{plan}", state="failed").main.rows()] == ["boom"]


def test_a_person_previews_starts_pauses_resumes_and_cancels(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)
    steps = [
        ("preview", "previewing"),
        ("stop_preview", "planned"),
        ("previewed", "previewed"),
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ]

    for do, then in steps:
        if do == "previewed":
            end_preview(books)
            continue
        assert press(client, plan, do, reason="so").location == f"/jobs/{plan}"
        assert state_of(books, plan) == then
        assert client.get(f"/jobs/{plan}").status == 200

    assert buttons(client.get(f"/jobs/{plan}")) == set()


def end_preview(books: SeededDatabase) -> None:
    write(books, "UPDATE bulk_plans SET state = 'previewed', previewed_at = now()")


def test_no_replay_starts_and_none_is_approved_before_its_effect_was_shown(
    client: PageClient, cautious: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)

    assert "Start" not in buttons(client.get(f"/jobs/{plan}"))
    page = press(client, plan, "start")
    assert page.status == 409
    assert "preview plan" in page.tree.one(role="alert").text
    assert press(cautious, plan, "approve", name="bob").status == 409
    assert state_of(books, plan) == "planned"

    end_preview(books)
    assert "Start" in buttons(client.get(f"/jobs/{plan}"))


def test_a_button_that_is_pressed_twice_counts_once(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)
    end_preview(books)
    key = client.get(f"/jobs/{plan}").main.form("Start")["idempotency_key"]

    for do, then in [("start", "running"), ("pause", "paused"), ("resume", "running")]:
        first = press(client, plan, do, idempotency_key=key)
        second = press(client, plan, do, idempotency_key=key)
        assert first.location == second.location == f"/jobs/{plan}"
        assert state_of(books, plan) == then

    # A form that comes again after others is still the one that it was.
    assert press(client, plan, "pause", idempotency_key=key).location
    assert state_of(books, plan) == "running"
    assert press(client, plan, "pause", idempotency_key=key, reason="other").status == 422
    assert press(client, plan, "pause", idempotency_key="").status == 400


def test_a_button_that_comes_too_late_changes_nothing_and_says_why(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)
    press(client, plan, "cancel")

    page = press(client, plan, "start")

    assert page.status == 409
    assert page.tree.one(role="alert").text
    assert state_of(books, plan) == "cancelled"
    assert press(client, plan, "burn").status == 400


@pytest.mark.parametrize("rate", ["fast", "0", "-1", "1e9", "nan"])
def test_a_rate_that_is_no_number_is_refused(
    client: PageClient, books: SeededDatabase, rate: str
) -> None:
    plan = plan_of(books)

    assert press(client, plan, "start", rate=rate).status == 422
    assert state_of(books, plan) == "planned"


def test_what_it_would_change_is_shown_user_by_user(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)
    given = (
        '{"user_id": "usr_1", "plan_code": "premium", "active": true, "entitlements": {"a": true}}'
    )
    write(
        books,
        "INSERT INTO bulk_differences (plan, position, party, kind, user_id, takes, before,"
        " after) VALUES"
        " (:plan, 1, 'p', 'entitlement', 'usr_1', true, CAST(:given AS jsonb), NULL),"
        " (:plan, 2, 'p', 'payment', 'usr_2', true, NULL, CAST(:payment AS jsonb))",
        plan=plan,
        given=given,
        payment='{"payment_ref": "pi_1", "amount_minor": 1999, "currency": "eur"}',
    )
    write(books, "UPDATE bulk_plans SET state = 'previewed', previewed_at = now()")

    page = client.get(f"/jobs/{plan}")

    first, second = page.main.rows()[:2]
    assert first[0] == "usr_1"
    assert "takes access" in first[3]
    assert "was a nothing" in first[2]
    assert (second[0], second[3]) == ("usr_2", "moves money")
    write(books, "UPDATE bulk_differences SET takes = false WHERE kind = 'payment'")
    (row, *_) = client.get(f"/jobs/{plan}", takes="1").main.one("section", **PREVIEW).rows()
    assert row[0] == "usr_1"


def test_more_than_a_few_events_need_a_second_person(
    cautious: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)
    end_preview(books)
    own = cautious.get(f"/jobs/{plan}")
    assert "Approve" not in buttons(own)
    assert "Ask for approval" in buttons(own)
    assert "Approve" in buttons(cautious.get(f"/jobs/{plan}", name="bob"))

    press(cautious, plan, "start")
    assert state_of(books, plan) == "waiting"
    assert press(cautious, plan, "approve").status == 409
    assert state_of(books, plan) == "waiting"

    press(cautious, plan, "approve", name="bob")
    assert state_of(books, plan) == "running"


def test_a_job_that_asks_about_a_user_is_answered_on_its_page(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)
    reason = Question(event="evt_001", users=("usr_1", "usr_2")).says(plan)
    write(books, "UPDATE bulk_plans SET state = 'paused', state_reason = :reason", reason=reason)

    page = client.get(f"/jobs/{plan}")
    assert page.tree.one("textarea", name="allow").text.split() == ["usr_1", "usr_2"]

    press(client, plan, "resume", allow="usr_1\r\nusr_2\r\n", skip="evt_002")
    assert state_of(books, plan) == "running"
    with books.engine.connect() as connection:
        allowed = connection.scalars(text("SELECT user_id FROM bulk_users ORDER BY 1")).all()
        skipped = connection.scalars(text("SELECT key FROM bulk_items WHERE state = 'skipped'"))
        assert (list(allowed), list(skipped)) == (["usr_1", "usr_2"], ["evt_002"])


def test_a_job_that_a_person_paused_asks_nothing(books: SeededDatabase, client: PageClient) -> None:
    plan = plan_of(books)
    write(books, "UPDATE bulk_plans SET state = 'paused', state_reason = 'lunch'")

    assert not client.get(f"/jobs/{plan}").main.all("textarea")
    assert "It is paused: lunch" in client.get(f"/jobs/{plan}").text


def test_a_viewer_sees_no_button_and_may_not_write(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)

    assert buttons(client.get(f"/jobs/{plan}", role=Role.VIEWER)) == set()
    assert press(client, plan, "start", role=Role.VIEWER).status == 403
    assert state_of(books, plan) == "planned"


@pytest.mark.parametrize("path", ["/jobs/9", f"/jobs/{10**30}"])
def test_an_unknown_plan_is_not_found(client: PageClient, path: str) -> None:
    assert client.get(path).status == 404


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": "9" * 40}, {"before": "-1"}])
def test_a_strange_position_begins_at_the_start(
    client: PageClient, books: SeededDatabase, query: Mapping[str, Any]
) -> None:
    plan = plan_of(books)

    assert client.get(f"/jobs/{plan}", **query).status == 200
    assert client.get("/jobs", **query).status == 200


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_text(client: PageClient, books: SeededDatabase, hostile: str) -> None:
    plan = plan_of(books, actor=hostile, reason=hostile)
    write(books, "UPDATE bulk_items SET key = :it || position, said = :it", it=hostile)
    write(
        books,
        "UPDATE bulk_plans SET state = 'paused', state_reason = :it, said = jsonb_build_object("
        "CAST(:it AS text), CAST(:it AS text))",
        it=hostile,
    )
    write(
        books,
        "INSERT INTO bulk_differences (plan, position, party, kind, user_id, takes, before,"
        " after) VALUES"
        " (:plan, 1, 'p', 'payment', :it, true, NULL,"
        " jsonb_build_object('payment_ref', CAST(:it AS text), CAST(:it AS text), 1))",
        plan=plan,
        it=hostile,
    )

    assert hostile in client.get(f"/jobs/{plan}").text
    assert hostile in client.get("/jobs").text


@pytest.mark.parametrize("plan", ["0", "99999999999999999999", "9" * 5000])
def test_a_number_of_no_plan_is_not_found(client: PageClient, plan: str) -> None:
    assert client.get(f"/jobs/{plan}").status == 404
    assert press(client, plan, "cancel").status in {404, 405, 409}


def test_a_plan_that_someone_holds_is_answered_by_a_page_that_is_worth_another_try(
    client: PageClient, books: SeededDatabase
) -> None:
    plan = plan_of(books)

    with books.engine.begin() as holder:
        holder.execute(text("SELECT 1 FROM bulk_plans FOR UPDATE"))
        page = press(client, plan, "cancel")

    assert (page.status, state_of(books, plan)) == (503, "planned")


def test_below_a_prefix_it_refreshes_itself_there(
    page_settings: Settings, books: SeededDatabase
) -> None:
    url = read_console_url("https://ops.example.com/paidup")
    client = PageClient(
        replace(page_settings, console_url=url), lambda frame: [job_pages(frame, books.engine)]
    )
    plan = plan_of(books)
    press(client, plan, "preview")

    html = client.get(f"/jobs/{plan}", state="failed").response.text
    client.close()

    here = f"/paidup/jobs/{plan}?state=failed"
    assert f'href="{here}">Reload' in html
    assert f'hx-get="{here}"' in html
