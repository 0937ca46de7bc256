"""Charge no event with what every event would meet, and some events with what only they meet."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import chain

import pytest
import redis
import sqlalchemy as sa

from billing.envelope import Envelope, parse
from models.tables import StripeEvent
from runtime.inbox.entries import Breaker
from tests.faults.fault_env import FaultSite, command, metrics_url, scrape, workers
from tests.faults.purchases import event_id, purchase
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

EVENTS = 40
RENEWED = timedelta(seconds=3)
POISONED_TYPE = "checkout.session.async_payment_succeeded"


def run_sql(site: FaultSite, *statements: str) -> None:
    with site.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def with_setting(site: FaultSite, change: str) -> None:
    """Change a setting of this database's sessions, and end those that are open, except ours."""
    name = site.database_url.rsplit("/", 1)[1]
    run_sql(
        site,
        "SET LOCAL transaction_read_only = off",
        f"ALTER DATABASE {name} {change}",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def forbid_writing(site: FaultSite) -> Callable[[], None]:
    with_setting(site, "SET default_transaction_read_only = on")
    return lambda: with_setting(site, "RESET default_transaction_read_only")


def revoke_a_right(site: FaultSite) -> Callable[[], None]:
    run_sql(site, "REVOKE INSERT ON payment_events FROM CURRENT_USER")
    return lambda: run_sql(site, "GRANT INSERT ON payment_events TO CURRENT_USER")


def rename_a_column(site: FaultSite) -> Callable[[], None]:
    run_sql(site, "ALTER TABLE audit_logs RENAME COLUMN origin TO came_from")
    return lambda: run_sql(site, "ALTER TABLE audit_logs RENAME COLUMN came_from TO origin")


def rename_a_column_of_search_terms(site: FaultSite) -> Callable[[], None]:
    run_sql(site, "ALTER TABLE search_terms RENAME COLUMN kind TO sort")
    return lambda: run_sql(site, "ALTER TABLE search_terms RENAME COLUMN sort TO kind")


def exhaust_a_sequence(site: FaultSite) -> Callable[[], None]:
    sequence = "pg_get_serial_sequence('stripe_events', 'settlement')"
    column = "ALTER TABLE stripe_events ALTER COLUMN settlement"
    run_sql(site, f"{column} SET MAXVALUE 1000000 RESTART 1000000", f"SELECT nextval({sequence})")
    return lambda: run_sql(site, f"{column} SET NO MAXVALUE")


@pytest.mark.parametrize(
    ("break_it", "says", "sqlstate"),
    [
        (forbid_writing, "read-only transaction", None),
        (revoke_a_right, "permission denied for table payment_events", None),
        (rename_a_column, "LINE 1: INSERT INTO audit_logs", "42703"),
        (rename_a_column_of_search_terms, "LINE 1: INSERT INTO search_terms", "42703"),
        (exhaust_a_sequence, "reached maximum value of sequence", "2200H"),
    ],
)
def test_what_every_event_meets_is_charged_to_none_and_named_until_it_is_mended(
    site: FaultSite,
    break_it: Callable[[FaultSite], Callable[[], None]],
    says: str,
    sqlstate: str | None,
) -> None:
    mend = break_it(site)
    with workers(site, PAIDUP_LOG_LEVEL="info") as worker:
        worker.until_ready()
        site.take(range(EVENTS))
        until(site.inbox.breaker_open, seconds=30, why="the breaker opened")
        opened = _breaker(site)
        until(lambda: _breaker(site).until > opened.until + RENEWED, seconds=30, why="probes fail")
        renewed = _breaker(site)
        status, findings = command(site, "status"), command(site, "doctor")["findings"]
        scraped = scrape(metrics_url(site))
        assert site.dead() == []
        mend()
        site.check_result()

    assert renewed.since == opened.since, "no probe has closed it in between"
    assert says in status["inbox"]["breaker"]["reason"]
    assert any(says in each["says"] for each in findings if each["check"] == "workers")
    assert says in site.log.read_text()
    assert "billing_breaker_open 1.0" in scraped
    labelled = f'{{sqlstate="{sqlstate or "none"}"}} {1.0 if sqlstate else 0.0}'
    assert f"billing_surroundings_fault{labelled}" in scraped
    assert _most_attempts(site) == 1


@pytest.mark.parametrize(("errcode", "bad"), [("23514", 500), ("P0001", 60)])
def test_bad_events_of_one_type_become_dead_letters_and_the_breaker_stays_closed(
    site: FaultSite, errcode: str, bad: int
) -> None:
    run_sql(
        site,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN RAISE EXCEPTION ''the house rule'' USING ERRCODE = ''{errcode}''; END'",
        "CREATE TRIGGER refuse BEFORE INSERT ON stripe_events FOR EACH ROW"
        f" WHEN (NEW.type = '{POISONED_TYPE}') EXECUTE FUNCTION refuse()",
    )
    names = [f"bad{number}" for number in range(bad)]
    poisonous = (parse(purchase(name, type=POISONED_TYPE)) for name in names)
    good = (parse(purchase(number)) for number in range(bad))
    with workers(site, PAIDUP_LOG_LEVEL="info") as worker:
        worker.until_ready()
        for envelope in chain.from_iterable(zip(poisonous, good, strict=True)):
            until(lambda envelope=envelope: _is_accepted(site, envelope), why="it is accepted")  # type: ignore[misc]
        site.check_result(dead=[event_id(name) for name in names], seconds=300)

    assert {(letter.state, letter.error_type) for letter in site.dead()} == {
        ("open", site.dead()[0].error_type)
    }
    assert f"({errcode})" in site.dead()[0].error_type
    assert "workers pause" not in site.log.read_text()


def _is_accepted(site: FaultSite, envelope: Envelope) -> bool:
    """Accept an event unless Redis is too busy to answer; accepting it again changes nothing."""
    with suppress(redis.RedisError):
        site.answers.acknowledged.update(site.accept([envelope]))
        return True
    return False


def _breaker(site: FaultSite) -> Breaker:
    breaker = site.inbox.breaker()
    assert breaker is not None, "it was closed"
    return breaker


def _most_attempts(site: FaultSite) -> int:
    with site.engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.max(StripeEvent.attempts))) or 0)
