"""Migrate a database to this release: its schema, its roles, and the first plans if it has none."""

from collections.abc import Callable

from sqlalchemy import Engine

from billing.errors import InvalidCatalogue
from ops.terminal.operator_options import current_operator
from runtime import roles, schema
from runtime.database.engine import engine_for
from runtime.database.pooler import PoolerBetween, is_behind_pooler
from runtime.ledger import catalogues
from runtime.ledger.errors import CatalogueMissing
from runtime.plans_file import PlansMissing, read_plans
from runtime.settings import Settings, required


def migrate(settings: Settings, *, report: Callable[[str], None] = lambda _: None) -> None:
    """Upgrade the schema, set up the roles, and apply the plans document if there is no catalogue.

    A document that differs from the catalogue of record changes nothing and is only named. The
    schema and the roles of a newer release stay as they are.

    Raises:
        PoolerBetween: a connection pooler stands between; nothing was changed.
        OlderCheckoutSchema: a checkout from before the first release made the schema.
        NewerReleaseNeeded: the schema is one on which this release may not run.
        PlansMissing, InvalidCatalogue: there is no catalogue yet and the document is unusable.
    """
    url = required(settings.owner_database_url, "DATABASE_URL")
    engine = engine_for(url, application_name="paidup migrate")
    try:
        _refuse_pooler(engine)
        is_ours = schema.upgrade(engine)
        report(f"the schema is {schema.described(engine)}")
        if is_ours:
            _set_up_roles(engine, settings, report)
        _install_first_plans(engine, settings, report)
    finally:
        engine.dispose()


def _refuse_pooler(engine: Engine) -> None:
    """Raise unless each statement reaches one session: a migration may take hours."""
    with engine.connect() as connection:
        if is_behind_pooler(connection):
            raise PoolerBetween


def _set_up_roles(engine: Engine, settings: Settings, report: Callable[[str], None]) -> None:
    """Create the roles that are missing; report what an administrator must do in our place."""
    owner_url = settings.owner_database_url
    result = roles.set_up_roles(engine, settings.database_url or owner_url, owner_url)
    for says in result.done:
        report(says)
    if result.left:
        says = (
            "`migrate` may not set up the roles that keep the audit safe from the services: let an"
            " administrator of PostgreSQL run these statements, then run `paidup migrate` again"
        )
        report("\n    ".join((says, *result.left)))


def plans_drift(engine: Engine, settings: Settings) -> str | None:
    """Return how the plans document differs from the catalogue of record; None if it does not.

    Raises:
        CatalogueMissing: no plans were ever applied.
    """
    path = settings.plans_path
    with engine.connect() as connection:
        version = catalogues.current_catalogue(connection).version
        try:
            differs = catalogues.differs(connection, read_plans(path))
        except (PlansMissing, InvalidCatalogue) as error:
            return f"plans of record are version {version}; {error}"
    if differs:
        return (
            f"{path} differs from the plans of record (version {version}), which stay in force;"
            " `paidup plans diff` shows what it would change"
        )
    return None


def _install_first_plans(engine: Engine, settings: Settings, report: Callable[[str], None]) -> None:
    try:
        drift = plans_drift(engine, settings)
    except CatalogueMissing:
        plans = read_plans(settings.plans_path)
        reason = f"first plans, from {settings.plans_path.name}"
        if catalogues.install_first(engine, plans, actor=current_operator(), reason=reason):
            report(f"{settings.plans_path} is now the catalogue of record (version 1)")
    else:
        if drift:
            report(drift)
