"""Grants and links of one deployment, as its settings say."""

from ops.queries.parties import configured_realms
from ops.statements.grants import GrantOperations
from ops.statements.links import LinkOperations
from runtime.idempotency import HitCounter
from runtime.ledger.record import Ledger
from runtime.settings import Settings


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
    settings: Settings, ledger: Ledger, *, hits: HitCounter | None = None, at_once: bool = False
) -> LinkOperations:
    """Return the links of a deployment; with ``at_once`` nothing is left to be done in steps."""
    return LinkOperations(ledger, realms=configured_realms(settings), hits=hits, at_once=at_once)
