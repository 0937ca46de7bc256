"""Grants and links of one deployment, as its settings say."""

from sqlalchemy import Engine

from ops.queries.parties import configured_realms
from ops.statements.grants import GrantOperations
from ops.statements.links import LinkOperations
from runtime.idempotency import HitCounter
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.outdated import OutdatedFacts
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from runtime.settings import Settings


def ledger_of(settings: Settings, engine: Engine) -> Ledger:
    """Return the ledger that records what people state, and reads outdated facts again."""
    catalogues = CatalogueCache()
    livemode, accounts = settings.effective_livemode(), settings.connect_accounts
    scope = Scope(livemode=livemode, accounts=accounts)
    outdated = OutdatedFacts(engine=engine, scope=scope, catalogues=catalogues)
    return Ledger(
        engine,
        livemode=livemode,
        accounts=accounts,
        catalogues=catalogues,
        read_again=outdated.read_parties,
    )


def grants_of(
    settings: Settings, ledger: Ledger, *, hits: HitCounter | None = None
) -> GrantOperations:
    """Return the grants of a deployment."""
    return GrantOperations(
        ledger,
        zone=settings.time_zone,
        test_counts=settings.effective_livemode() != "live",
        hits=hits,
    )


def links_of(
    settings: Settings, ledger: Ledger, *, hits: HitCounter | None = None
) -> LinkOperations:
    """Return the links of a deployment."""
    return LinkOperations(ledger, realms=configured_realms(settings), hits=hits)
