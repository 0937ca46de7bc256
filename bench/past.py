"""Load what happened before a measurement: a long past, in a time that grows as the past does.

The ledger's own steps store events, facts, memberships and search terms, batch by batch, and leave
out the deciding: event by event it may cost what the whole past costs. At the end each party is
projected once, from its facts, by what ``paidup rebuild`` calls.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from sqlalchemy import Engine, event, text

from billing.ids import PartyId
from runtime.database.deadline import DeadlineConnection
from runtime.database.engine import engine_for
from runtime.failures.rehearsal import make_delivery
from runtime.ledger.admit import admit, open_transaction
from runtime.ledger.batch_state import BatchState
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.locks import secure
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.prepare import Scope, prepare
from runtime.ledger.write import PendingWrites, write

SCOPE: Final = Scope(livemode="any", accounts=frozenset())
APPLICATION: Final = "paidup bench"
_STORED_AT_ONCE: Final = 1000
_UNBOUNDED: Final = 0
"""No limit, to PostgreSQL: on a busy machine a large party takes longer than any event may."""


def load_past(database_url: str, events: Iterable[bytes]) -> None:
    """Store events that no part of the database names yet, and project their parties."""
    engine = _patient_engine(database_url)
    catalogues = CatalogueCache()
    parties: set[PartyId] = set()
    rest = iter(events)
    while batch := list(islice(rest, _STORED_AT_ONCE)):
        parties |= _store(engine, catalogues, batch)
    _project(engine, catalogues, sorted(parties))
    engine.dispose()


def analyze(database_url: str) -> None:
    """Have PostgreSQL look at tables that were just filled, as it does by itself after a while."""
    engine = _patient_engine(database_url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _patient_engine(database_url: str) -> Engine:
    """Return an engine whose statements may take any time."""
    engine = engine_for(database_url, application_name=APPLICATION)

    def take_time(connection: DeadlineConnection, _record: object) -> None:
        connection.answer_seconds = None
        connection.execute(f"SET statement_timeout = {_UNBOUNDED}")
        connection.commit()

    event.listen(engine, "connect", take_time)
    return engine


def _store(engine: Engine, catalogues: CatalogueCache, bodies: Sequence[bytes]) -> set[PartyId]:
    """Store a batch, and return its parties; a later batch may merge some, which then are empty."""
    prepared = prepare([make_delivery(body) for body in bodies], SCOPE)
    stating = [each for each in prepared if each.mentions]
    pending = PendingWrites()
    with engine.begin() as connection:
        opening = open_transaction(connection)
        admit(connection, [(each.delivery, each.ignored) for each in prepared])
        secured = secure(connection, [each.mentions for each in stating])
        for each, assignment in zip(stating, secured.assignments, strict=True):
            pending.facts += [(assignment.party, fact) for fact in each.facts]
            pending.add_terms(assignment.party, each.facts, each.terms)
        plans = catalogues.current(connection)
        write(connection, pending, BatchState({}, plans=plans, now=opening.now), secured.ends)
    return {each.party for each in secured.assignments}


def _project(engine: Engine, catalogues: CatalogueCache, parties: Sequence[PartyId]) -> None:
    rebuilder = Rebuilder(
        engine=engine,
        catalogues=catalogues,
        scope=SCOPE,
        actor="bench",
        reason="the past of a measurement",
        dry_run=False,
        idle_seconds=_UNBOUNDED,
    )
    for party in parties:
        rebuilder.from_facts([party])
