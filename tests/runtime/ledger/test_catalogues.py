from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from billing.catalogue import read_catalogue, write_catalogue
from runtime.ledger import catalogues
from runtime.ledger.errors import CatalogueMissing
from tests.runtime.ledger.delivery_builders import example_plans, rows

pytestmark = pytest.mark.servers


def test_a_database_without_plans_says_what_to_run(empty_engine: Engine) -> None:
    with empty_engine.connect() as connection, pytest.raises(CatalogueMissing, match="migrate"):
        catalogues.current_catalogue(connection)


def test_of_many_that_find_none_one_installs_them(empty_engine: Engine) -> None:
    def install(number: int) -> bool:
        return catalogues.install_first(
            empty_engine, example_plans(), actor=f"process {number}", reason="first start"
        )

    with ThreadPoolExecutor(8) as pool:
        installed = list(pool.map(install, range(8)))

    assert installed.count(True) == 1
    assert rows(empty_engine, "SELECT version FROM catalogues") == [1]
    query = "SELECT action, actor = (SELECT applied_by FROM catalogues) FROM audit_logs"
    assert rows(empty_engine, query) == [("catalogue.applied", True)]


def test_what_is_read_is_what_was_installed(engine: Engine) -> None:
    with engine.connect() as connection:
        record = catalogues.current_catalogue(connection)

    assert record.version == 1
    assert write_catalogue(record.catalogue) == write_catalogue(example_plans())


def test_a_new_version_is_noticed_and_an_old_one_not_read_again(engine: Engine) -> None:
    known = catalogues.CatalogueCache()
    with engine.connect() as connection:
        first = known.current(connection)
        assert known.current(connection) is first
    with engine.begin() as connection:
        catalogues.install(connection, read_catalogue({}), actor="ada", reason="nothing for sale")

    with engine.connect() as connection:
        assert known.current(connection).version == 2


def test_plans_differ_by_what_they_say(engine: Engine) -> None:
    with engine.connect() as connection:
        assert not catalogues.differs(connection, example_plans())
        assert catalogues.differs(connection, read_catalogue({}))


def test_what_is_known_of_lookup_keys_stays_known_and_is_no_difference(engine: Engine) -> None:
    known, plans = {"price_old": "gold", "price_new": "silver"}, example_plans()
    with engine.begin() as connection:
        catalogues.install(
            connection, plans.with_price_keys(known), actor="ada", reason="asked Stripe"
        )
        assert not catalogues.differs(connection, plans)
        moved = plans.with_price_keys({"price_new": "gold"})
        assert catalogues.differs(connection, moved)
        catalogues.install(connection, moved, actor="ada", reason="the key was transferred")

        record = catalogues.current_catalogue(connection)
        assert record.catalogue.price_keys == {"price_old": "gold", "price_new": "gold"}
        assert record.succeeded_by(plans).price_keys == record.catalogue.price_keys
