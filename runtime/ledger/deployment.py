"""The ledger of one deployment: as its settings say, and able to read outdated facts again."""

from sqlalchemy import Engine

from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.outdated import OutdatedFacts
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from runtime.settings import Settings


def ledger_of(settings: Settings, engine: Engine) -> Ledger:
    """Return a ledger; facts that earlier readers wrote are read again before it decides."""
    scope, catalogues = Scope.of(settings), CatalogueCache()
    outdated = OutdatedFacts(engine=engine, scope=scope, catalogues=catalogues)
    return Ledger(
        engine,
        livemode=scope.livemode,
        accounts=scope.accounts,
        catalogues=catalogues,
        read_again=outdated.read_parties,
    )
