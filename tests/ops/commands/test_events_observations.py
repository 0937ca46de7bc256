"""Observations that no event asked for leave with the events, and come back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from ops.up.servers.postgres_server import Postgres
from tests.ops.commands.exporting import another_database, exporter, lines
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import NOW, contents, customer, delivery, event, intent
from tests.runtime.ledger.observation_builders import BY_ADA, gone, seen, subscription

pytestmark = pytest.mark.servers

MEANT = ("--reason", "a new home", "--as", "grace", "--yes")
HISTORY = {
    *("audit_logs", "payment_events", "stripe_events", "catalogues", "user_versions"),
    "api_observations",
}


@pytest.fixture
def elsewhere(postgres_server: Postgres, database_template: str) -> Iterator[SeededDatabase]:
    """Return another database, with an event and a backfill of two customers."""
    with another_database(postgres_server, database_template) as books:
        ledger = ledger_on(books.engine)
        ledger.record([delivery(event("customer.created", customer("cus_1"), id="evt_1"))])
        ended = subscription(id="sub_2", customer="cus_2", metadata={"user_id": "usr_2"})
        ledger.observe([seen(subscription()), seen(intent("pi_1", customer="cus_1"))], BY_ADA)
        ledger.observe([seen(ended, at=NOW - 60)], BY_ADA)
        ledger.observe([gone("subscription", "sub_2")], BY_ADA)
        yield books


@pytest.fixture
def exported(
    elsewhere: SeededDatabase, paidup: Paidup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Export the other database into a file."""
    return exporter(elsewhere, paidup, tmp_path, monkeypatch)


def names(path: Path) -> list[str]:
    return [line.get("id") or line["observation_id"] for line in lines(path)]


def test_they_follow_the_events_in_the_order_of_asking(exported: Callable[..., Path]) -> None:
    path = exported()

    first, *rest = lines(path)
    assert (first["id"], len(rest)) == ("evt_1", 4)
    assert [line["asked_at"] for line in rest] == sorted(line["asked_at"] for line in rest)
    line = next(line for line in rest if line["object_id"] == "sub_1")
    assert (line["realm"], line["origin"], line["actor"]) == ("test", "backfill", "ada")
    assert line["payload"] == seen(subscription()).observation.payload


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("--type", "customer.created"), ["evt_1"]),
        (("--user", "usr_2"), [f"obs_sub_2_{NOW - 60}", f"obs_sub_2_{NOW}"]),
        (("--customer", "cus_1"), ["evt_1", f"obs_pi_1_{NOW}", f"obs_sub_1_{NOW}"]),
        (("--until", "2020-01-01"), []),
    ],
)
def test_the_filters_narrow_them(
    exported: Callable[..., Path], given: tuple[str, ...], found: list[str]
) -> None:
    assert names(exported(*given)) == found


def test_they_come_back_with_the_rows_that_follow_from_them(
    elsewhere: SeededDatabase, exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    said = json.loads(paidup("replay", "--from", str(exported()), *MEANT, "--json"))

    assert (said["observations"], said["observations_failed"]) == ({"recorded": 4}, {})
    here, there = (contents(each, without=HISTORY) for each in (at_work.engine, elsewhere.engine))
    assert here == there
    kept = "SELECT id || payload_sha256 || origin FROM api_observations ORDER BY 1"
    with elsewhere.engine.connect() as connection:
        assert at_work.scalars(kept) == connection.scalars(text(kept)).all()
    asked = at_work.scalars("SELECT DISTINCT actor || ': ' || reason FROM api_observations")
    assert asked == ["cli:grace: a new home"]


def test_what_is_known_is_not_recorded_again(
    exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    path = exported()
    paidup("replay", "--from", str(path), *MEANT)
    before = contents(at_work.engine, without=HISTORY)

    said = paidup("replay", "--from", str(path), *MEANT)

    assert "API observations: 4 known" in said
    assert contents(at_work.engine, without=HISTORY) == before


def test_a_dry_run_says_what_would_become_of_them(
    exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    said = paidup("replay", "--from", str(exported()), "--dry-run")

    assert "API observations: 4 to be recorded" in said
    assert at_work.scalars("SELECT id FROM api_observations") == []


def test_one_that_differs_from_what_is_known_here_is_named_and_stops_no_other(
    exported: Callable[..., Path], at_work: OpsEnv, paidup: Paidup
) -> None:
    ledger_on(at_work.engine).observe([seen(subscription("unpaid"))], BY_ADA)

    said = json.loads(paidup("replay", "--from", str(exported()), *MEANT, "--json", code=1))

    assert said["observations"] == {"recorded": 3, "failed": 1}
    assert list(said["observations_failed"]) == [f"obs_sub_1_{NOW}"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"payload": "{}"}, "payload does not match"),
        ({"observation_id": "obs_else"}, "the payload is that of obs_"),
        ({"origin": "nobody"}, "nobody is neither of backfill, reconcile"),
        ({"asked_at": "2026-01-01T00:00:00"}, "has no time zone"),
    ],
)
def test_a_line_that_was_altered_is_refused(
    exported: Callable[..., Path],
    at_work: OpsEnv,
    paidup: Paidup,
    changed: dict[str, str],
    says: str,
) -> None:
    path = exported()
    *others, last = lines(path)
    altered = [json.dumps(each) for each in (*others, last | changed)]
    path.write_text("".join(f"{line}\n" for line in altered))

    paidup("replay", "--from", str(path), *MEANT, code=1)

    assert says in paidup.err
    assert at_work.scalars("SELECT id FROM stripe_events") == []
