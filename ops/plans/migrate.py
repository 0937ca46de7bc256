"""Bring a database to this release: its schema, and plans where it has none yet."""

from collections.abc import Callable

from sqlalchemy import Engine

from billing.errors import InvalidCatalogue
from ops.terminal.operator_options import operator
from runtime import schema
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.ledger.errors import CatalogueMissing
from runtime.plans_file import PlansMissing, read_plans
from runtime.settings import Settings, required


def migrate(settings: Settings, *, say: Callable[[str], None] = lambda _: None) -> None:
    """Upgrade the schema, and apply the plans document if no catalogue is on record.

    A document that differs from the catalogue of record changes nothing and is only named.

    Raises:
        PlansMissing, InvalidCatalogue: if there is no catalogue and the document is of no use.
    """
    url = required(settings.database_url, "DATABASE_URL")
    engine = engine_for(url, application_name="paidup migrate")
    try:
        schema.upgrade(engine)
        say(f"the schema is at {schema.head()}")
        _settle_plans(engine, settings, say)
    finally:
        engine.dispose()


def plans_drift(engine: Engine, settings: Settings) -> str | None:
    """How the plans document stands to the catalogue of record, if not as it should.

    Raises:
        CatalogueMissing: if no plans were ever applied.
    """
    path = settings.plans_path
    with engine.connect() as connection:
        version = catalogues.current(connection).version
        try:
            differs = catalogues.differs(connection, read_plans(path))
        except (PlansMissing, InvalidCatalogue) as error:
            return f"plans of record are version {version}; {error}"
    if differs:
        return (
            f"{path} differs from the plans of record (version {version}), which stay in force;"
            " `paidup plans diff` says what it would change"
        )
    return None


def _settle_plans(engine: Engine, settings: Settings, say: Callable[[str], None]) -> None:
    try:
        drift = plans_drift(engine, settings)
    except CatalogueMissing:
        plans = read_plans(settings.plans_path)
        reason = f"first plans, from {settings.plans_path.name}"
        if catalogues.install_first(engine, plans, actor=operator(), reason=reason):
            say(f"{settings.plans_path} is the catalogue of record now (version 1)")
    else:
        if drift:
            say(drift)
