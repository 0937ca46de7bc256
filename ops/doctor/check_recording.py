"""Record sample events as a worker does, with the role of DATABASE_URL, and roll them back.

Settings and versions do not show what a role may do, nor what a trigger, an extension or a session
setting makes of our statements.
"""

import time
from collections.abc import Sequence
from secrets import token_hex
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from billing.errors import BillingError
from ops.doctor.findings import Finding, ok, problem
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from runtime.error_text import describe
from runtime.failures.dead_letters import write_dead_letters
from runtime.failures.rehearsal import make_delivery, make_draft
from runtime.ledger.deliveries import Delivery
from runtime.ledger.errors import CatalogueMissing, LedgerError
from runtime.ledger.record import Ledger

_CHECK: Final = "recording"
_SCENARIOS: Final = ("refund_full", "entitlement_summary")
"""Together they write every kind of row; neither needs a plan."""


def check_recording(engine: Engine) -> Finding:
    """Say whether a worker could settle events and write a dead letter now."""
    deliveries = _sample_deliveries()
    # Mode and accounts of the settings would ignore the samples.
    ledger = Ledger(engine, livemode="any", accounts=frozenset())
    try:
        ledger.rehearse(deliveries, lambda connection: _write_dead_letter(connection, deliveries))
        with engine.connect() as connection:
            role = connection.scalar(text("SELECT current_user"))
    except CatalogueMissing as missing:
        return problem(_CHECK, str(missing))
    except (SQLAlchemyError, LedgerError, BillingError) as error:
        return problem(
            _CHECK,
            f"sample events could not be written: {describe(error)}; run `paidup migrate`, and give"
            " this role the rights of docs/deploy.md",
        )
    events = f"{len(deliveries)} sample events and a dead letter"
    return ok(_CHECK, f"{events} were written as role {role} and rolled back")


def _sample_deliveries() -> list[Delivery]:
    now, seed = int(time.time()), f"doctor-{token_hex(8)}"
    lifecycles = [compose(name, shape=Shape.NEW, seed=seed, now=now) for name in _SCENARIOS]
    return [make_delivery(event.body) for one in lifecycles for event in one.events]


def _write_dead_letter(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    key = f"{deliveries[0].envelope.event_id}_dead"
    write_dead_letters(connection, [make_draft(deliveries[0], key, error="a check of doctor")])
