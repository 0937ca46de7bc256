import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from ops.console.pages.overview import ObservedState, observe, overview_pages
from ops.console.pages.refreshed import RefreshedValue
from ops.doctor.findings import Finding, ok, warning
from ops.status.overview import Overview, take_overview
from runtime.history.reports import Report
from runtime.history.writer import HistoryWriter
from runtime.settings import Settings
from tests.fakes import settings
from tests.ops.console.pages.other_pages import other_pages
from tests.ops.console.pages.page_client import HOSTILE, PageClient
from tests.ops.console.pages.page_html import Element
from tests.ops.ops_env import OpsEnv

pytestmark = pytest.mark.servers

Looked = Callable[..., PageClient]
T = TypeVar("T")


@pytest.fixture
def given(floor: OpsEnv, redis_url: str) -> Settings:
    return settings(DATABASE_URL=floor.books.url, REDIS_URL=redis_url)


@pytest.fixture
def looked(given: Settings) -> Iterator[Looked]:
    """Make a client for whom the overview and the findings are as the test says."""
    clients: list[PageClient] = []

    def look(seen: Overview | None = None, findings: list[Finding] | None = None) -> PageClient:
        state = observe(given)
        known = ObservedState(
            overview=read_already(seen or take_overview(given)),
            findings=read_already(tuple(findings or ())),
            histories=state.histories,
        )
        others = other_pages((), "dead_letters.show_all")
        clients.append(PageClient(given, lambda frame: [overview_pages(frame, known), *others]))
        return clients[-1]

    yield look
    for client in clients:
        client.close()


def read_already(value: T) -> RefreshedValue[T]:
    known: RefreshedValue[T] = RefreshedValue(lambda: value, name="given", seconds=3600)
    known.get(wait=30)
    return known


def test_a_quiet_deployment_says_so_in_one_sentence(looked: Looked) -> None:
    page = looked(findings=[ok("schema", "fits")]).get("/")

    assert page.status == 200
    assert page.main.one(class_="sentence").text.startswith("Everything works.")
    assert "Nothing. Every check" in page.text


def test_what_needs_attention_stands_with_its_command_as_code(looked: Looked) -> None:
    page = looked(findings=[warning("locks", "run `paidup doctor` again"), ok("x", "fine")]).get(
        "/"
    )

    (finding,) = page.main.one("ul", class_="findings").all("li")
    assert finding.text == "warningLocks: run paidup doctor again Servers"
    assert finding.one("code").text == "paidup doctor"


def test_the_text_of_a_finding_is_never_more_than_text(looked: Looked) -> None:
    page = looked(findings=[warning("locks", f"`{text}` {text}") for text in HOSTILE]).get("/")

    assert all(text in page.text for text in ("<script>alert(1)</script>", "javascript:alert(1)"))


def test_a_server_that_is_away_is_named_and_the_rest_is_shown(
    given: Settings, looked: Looked
) -> None:
    away = take_overview(replace(given, redis_url="redis://127.0.0.1:1"))

    page = looked(away).get("/")

    assert page.status == 200
    assert "Redis does not answer: no event is accepted" in page.text
    assert "settled" in page.text.lower()


def test_each_tile_has_its_number(looked: Looked) -> None:
    tiles = {each.one("dt").text: each.one("dd").text for each in tiles_of(looked())}

    assert tiles["In the inbox"] == "00 due, 0 claimed, 0 parked"
    assert tiles["Worker processes"].startswith("0")


def tiles_of(client: PageClient) -> list[Element]:
    return client.get("/").main.all(class_="tile")


def test_the_charts_and_their_tables_show_what_was_reported(floor: OpsEnv, looked: Looked) -> None:
    writer = HistoryWriter(floor.client, "ingest", lambda: Report(counts={"accepted": 50}))
    writer.report()
    client = looked()

    page = client.get("/history/events", span="day")
    assert page.status == 200
    assert len(page.main.all("svg")) >= 1
    assert page.main.rows()
    assert client.get("/history/nothing").status == 404
    assert client.get("/history/events", span="century").status == 200


def test_the_first_visitor_of_frozen_servers_is_asked_to_come_again(given: Settings) -> None:
    thawed = threading.Event()

    def wait() -> Any:
        thawed.wait()

    frozen = RefreshedValue(wait, name="frozen", seconds=1)
    state = ObservedState(overview=frozen, findings=frozen, histories={})
    client = PageClient(given, lambda frame: [overview_pages(frame, state)])
    try:
        page = client.get("/")
    finally:
        client.close()
        thawed.set()

    assert page.status == 503
    assert "Load this page again" in page.text
