"""A random world ends right in the tables of a whole system, and a wrong row is named."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from ops.samples.worlds.world import World
from runtime.database.engine import engine_for
from runtime.ledger.statements import StatedChange
from tests.system.stack_env import StackUnderTest
from tests.worlds.system.people import statement_differences
from tests.worlds.system.play import (
    draw_world,
    lasting_differences,
    play_through,
    running_for_worlds,
)
from tests.worlds.system.rows import EarlierRows, table_differences

pytestmark = pytest.mark.servers

SEED = "system/65"

MONEY_AGAIN = """
    INSERT INTO payment_events (kind, realm, payment_ref, amount_minor, currency, occurred_at)
    SELECT kind, realm, payment_ref, amount_minor, currency, occurred_at
    FROM payment_events LIMIT 1
"""
AUDIT_TWICE = """
    INSERT INTO audit_logs (actor, action, outcome, origin, target_type, target_id, event_id)
    SELECT 'ada', 'purchase.paid', 'done', 'stripe', 'purchase', 'pi_1', 'evt_1'
    FROM generate_series(1, 2)
"""


@dataclass(frozen=True)
class Played:
    """A world that went through a system, and what its tables had wrong."""

    system: StackUnderTest
    world: World
    earlier: EarlierRows
    wrong: list[str]
    said: Sequence[StatedChange]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    with running_for_worlds() as system:
        world = draw_world(SEED)
        assert world is not None
        through = play_through(system, world)
        yield Played(system, world, through.earlier, through.wrong, through.said)


def test_a_world_ends_right_in_the_tables(played: Played) -> None:
    assert any(end.grants and end.money and end.lines for end in played.world.ends)
    assert played.wrong == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE user_entitlements SET active = false", "may {} by effective_entitlements"),
        ("UPDATE user_entitlements SET active = false", "but the audit ends with"),
        ("UPDATE payments SET amount_refunded_minor = amount_minor + 1", "payment "),
        ("UPDATE purchases SET quantity = quantity + 1", "line "),
        ("UPDATE subscriptions SET status = 'paused'", "is paused, not"),
        (MONEY_AGAIN, "payment_events lack"),
        ("DELETE FROM stripe_events", "events are not settled"),
        (AUDIT_TWICE, "the audit says twice"),
    ],
)
def test_a_row_that_is_wrong_is_named(played: Played, change: str, named: str) -> None:
    owner = engine_for(played.system.stack.owner_database_url, application_name="tests")
    with owner.connect() as connection:
        connection.execute(text(change))
        found = table_differences(connection, played.world, played.earlier)
        connection.rollback()
    owner.dispose()

    assert any(named in each for each in found), found


def test_people_said_something_and_ended_something(played: Played) -> None:
    kinds = {each.statement.kind for each in played.said}
    assert kinds == {"grant", "grant_ended", "link", "link_ended"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DELETE FROM operator_statements", "is stored as None"),
        ("UPDATE operator_statements SET reason = 'another'", "is stored as"),
        ("UPDATE audit_logs SET actor = 'nobody'", "names nobody"),
        ("UPDATE audit_logs SET before = NULL, after = NULL", "neither before nor after"),
        ("UPDATE audit_logs SET target_id = 'another'", "the audit tells of"),
        ("DELETE FROM audit_logs WHERE starts_with(action, 'entitlement.')", "explain --at does"),
        ("UPDATE audit_logs SET after = NULL, before = NULL", "explain --at names None"),
    ],
)
def test_a_statement_that_does_not_stand_is_named(played: Played, change: str, named: str) -> None:
    owner = engine_for(played.system.stack.owner_database_url, application_name="tests")
    with owner.connect() as connection:
        for table in ("operator_statements", "audit_logs"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
        connection.execute(text(change))
        found = statement_differences(connection, played.said)
        connection.rollback()
    owner.dispose()

    assert any(named in each for each in found), found


def test_a_row_that_a_rebuild_would_change_is_named(played: Played) -> None:
    """Change a column that no truth states, since the audit and the sums name the others."""
    owner = engine_for(played.system.stack.owner_database_url, application_name="tests")
    with owner.begin() as connection:
        connection.execute(text("UPDATE payments SET stripe_customer_id = stripe_customer_id || 9"))
    found = lasting_differences(played.system, played.world, played.earlier, seconds=0)
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE payments SET stripe_customer_id = left(stripe_customer_id, -1)")
        )
    owner.dispose()

    assert found
    assert all("a rebuild would change a row" in each for each in found), found


def test_the_tables_are_right_again_without_the_change(played: Played) -> None:
    assert lasting_differences(played.system, played.world, played.earlier) == []
