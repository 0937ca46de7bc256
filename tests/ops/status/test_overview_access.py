"""Access that ends soon, and that ended, is shown in ``changes``, in metrics and in ``status``."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import text

from runtime.changes.numbering import number_batch
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.ending_soon import announce_ending_soon
from runtime.ledger.maintenance.reproject import project_due
from runtime.telemetry import SharedState, SharedStateCollector
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from workers.supervisor.shared_state import read_database_state

pytestmark = pytest.mark.servers

GAUGES = ("billing_entitlements_ending_soon", "billing_entitlements_ended")


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None], redis_url: str) -> SeededDatabase:
    """One user who has paid."""
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    books.tell("onetime", user="usr_1")
    return books


def given(paidup: Paidup, *ends: str) -> str:
    call = ("grants", "add", "usr_1", "--plan", "team", *ends, "--reason", "the outage")
    return str(json.loads(paidup(*call, "--json"))["grant"])


def come_to_the_end(books: SeededDatabase, grant: str) -> None:
    """Have the end of a grant come now, and let the clock do what it does then."""
    ends = "jsonb_set(fact, '{fields,until}', to_jsonb(CAST(now() AS text)))"
    with books.engine.begin() as connection:
        this = {"grant": f"%:{grant}"}
        query = f"UPDATE facts SET fact = {ends} WHERE object_key LIKE :grant"  # noqa: S608 - ours
        connection.execute(text(query), this)
        connection.execute(text("UPDATE parties SET due_at = now() WHERE party LIKE :grant"), this)
    assert project_due(books.engine, CatalogueCache(), 10) == 1


def changes(books: SeededDatabase, paidup: Paidup) -> list[tuple[str, str, bool]]:
    """Return each change with its source, and whether access is in force after it."""
    while number_batch(books.engine):
        pass
    found = json.loads(paidup("changes", "--after", "0", "--json"))["changes"]
    return [(each["change"], each["source"], each["after"]["active"]) for each in found]


def counted(books: SeededDatabase, paidup: Paidup) -> tuple[Any, tuple[float, ...]]:
    """Return what ``status`` says of access, and the gauges as a worker's scrape shows them."""
    database = read_database_state(books.engine)
    state = SharedState(ending_soon=database.ending_soon, ended=database.ended)
    registry = CollectorRegistry()
    registry.register(SharedStateCollector(lambda: state))
    lines = dict(line.split() for line in generate_latest(registry).decode().splitlines()
                 if line.startswith(GAUGES))  # fmt: skip
    shown = json.loads(paidup("status", "--json"))["access"]
    return shown, tuple(float(lines[name]) for name in GAUGES)


def test_what_ends_soon_and_what_ended_is_shown_in_all_three(
    books: SeededDatabase, paidup: Paidup
) -> None:
    assert counted(books, paidup) == ({"ending_soon": 0, "ended": 0}, (0, 0))
    over = given(paidup, "--for", "9d")
    come_to_the_end(books, over)
    soon, late = given(paidup, "--for", "3d"), given(paidup, "--for", "2mo")

    announce_ending_soon(books.engine, limit=10)

    found = [each for each in changes(books, paidup) if each[1] in {over, soon, late}]
    assert found == [
        ("granted", over, True),
        ("revoked", over, False),
        ("granted", soon, True),
        ("granted", late, True),
        ("ends_soon", soon, True),
    ]
    assert counted(books, paidup) == ({"ending_soon": 1, "ended": 1}, (1, 1))
    said = " ".join(paidup("status").split())
    assert "access 1 ends within 7 days; 1 ended within the last day" in said
