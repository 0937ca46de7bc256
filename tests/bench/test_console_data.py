"""The data of the console's measurements: copies that belong together, as recorded ones do."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from bench import console_data
from ops.demo.plans import PLANS
from ops.queries.dead_letter_groups import letter_groups
from ops.queries.event_pages import event_page
from ops.queries.events import EventFilter
from ops.queries.lookups import look_up
from ops.queries.pages import PageRequest
from ops.queries.parties import OWN_REALMS
from runtime.database.engine import engine_for
from runtime.ledger.catalogues import install_first
from runtime.plans_file import read_plans

pytestmark = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    install_first(engine, read_plans(PLANS), actor="tests", reason="tests")
    console_data.fill(database, users=200, letters=50, say=lambda _: None)
    yield engine
    engine.dispose()


def test_every_copy_is_found_with_its_user_its_events_and_its_dead_letters(engine: Engine) -> None:
    with engine.connect() as connection:
        users = connection.scalars(text("SELECT user_id FROM customers WHERE user_id > 'usr_'"))
        found = [look_up(connection, OWN_REALMS, user) for user in users]
        events = [
            event_page(connection, EventFilter(user="any"), {"user": one.parties}, PageRequest())
            for one in found
        ]
        groups = letter_groups(connection).groups
        letters = sum(each.open + each.discarded + each.replayed for each in groups)
        known = text(
            "SELECT count(*) FROM search_terms WHERE kind = 'user' AND object_key = party"
            " AND lower(term) IN (SELECT lower(user_id) FROM customers)"
        )
        named = connection.scalar(known)

    assert len(found) >= 200
    assert all(one.users and one.parties for one in found)
    assert all(page.rows for page in events)
    assert 40 <= letters <= 50
    assert named


def test_copies_are_spread_over_half_a_year_in_the_order_of_settling(engine: Engine) -> None:
    query = text("SELECT applied_at FROM stripe_events ORDER BY settlement")
    with engine.connect() as connection:
        times = [*connection.scalars(query)]

    assert 170 <= (max(times) - min(times)).days <= console_data.DAYS
    copied = times[times.index(min(times)) :]
    assert copied == sorted(copied)
