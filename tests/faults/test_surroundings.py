"""Charge no event with what every event would meet, and some events with what only they meet."""

from collections.abc import Callable
from contextlib import suppress
from itertools import chain

import pytest
import redis
import sqlalchemy as sa

from billing.envelope import Envelope, parse
from models.tables import StripeEvent
from tests.faults.broken_surroundings import (
    EVENTS,
    RENEWED,
    exhaust_a_sequence,
    forbid_writing,
    open_breaker,
    rename_a_column,
    revoke_a_right,
    run_sql,
)
from tests.faults.fault_env import FaultSite, command, metrics_url, scrape, workers
from tests.faults.purchases import event_id, purchase
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

POISONED_TYPE = "checkout.session.async_payment_succeeded"


@pytest.mark.parametrize(
    ("break_it", "says", "sqlstate"),
    [
        (forbid_writing, "read-only transaction", None),
        (revoke_a_right, "permission denied for table payment_events", None),
        (rename_a_column, "LINE 1: INSERT INTO audit_logs", "42703"),
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
        opened = open_breaker(site)
        until(
            lambda: open_breaker(site).until > opened.until + RENEWED, seconds=30, why="probes fail"
        )
        renewed = open_breaker(site)
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


def _most_attempts(site: FaultSite) -> int:
    with site.engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.max(StripeEvent.attempts))) or 0)
