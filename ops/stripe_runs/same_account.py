"""Make sure that an API key belongs to the account whose events are here, before anything is done.

A realm does not name our own account, so what another company's account has would look like ours
that is missing, and ours like what Stripe does not know. Stripe has to know the newest event that
was settled here.
"""

from enum import StrEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from billing.ids import Realm
from models.tables import StripeEvent
from ops.errors import CommandFailed
from ops.stripe_runs.asking import PatientApi
from runtime.stripe_api.errors import ApiForbidden

_LOOKED_AT: Final = 10_000
"""The newest settled events, among which one of the account is looked for."""

_KEPT: Final = sa.text("interval '29 days'")
"""Stripe may have dropped an older event."""


class Proof(StrEnum):
    """The knowledge of whose a key is."""

    SAME = "same"
    OPEN = "open"
    """Nothing of the account was settled here lately, or the key may not read events."""


class OtherAccount(CommandFailed):
    """Stripe does not know an event that was settled here."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__(
            f"Stripe does not know {event_id}, which was settled here: STRIPE_API_KEY belongs to"
            " another account or mode; nothing was compared, put in or stored"
        )


def prove_account(engine: Engine, api: PatientApi) -> Proof:
    """Return what is known of the account in which ``api`` asks; no transaction is open meanwhile.

    Raises:
        ApiFailure: Stripe does not answer.
        OtherAccount: it is not the account whose events are here.
    """
    with engine.connect() as connection:
        event_id = _newest_settled(connection, api.account.realm)
    if event_id is None:
        return Proof.OPEN
    try:
        answer = api.ask(f"/v1/events/{event_id}")
    except ApiForbidden as refused:
        if not refused.rights:
            raise
        return Proof.OPEN
    if answer.gone:
        raise OtherAccount(event_id)
    return Proof.SAME


def _newest_settled(connection: Connection, realm: Realm) -> str | None:
    """Return the newest snapshot event of the account, which the list can show."""
    newest = (
        sa.select(StripeEvent.id, StripeEvent.realm, StripeEvent.type, StripeEvent.created_at)
        .order_by(StripeEvent.settlement.desc())
        .limit(_LOOKED_AT)
        .subquery()
    )
    query = sa.select(newest.c.id).where(
        newest.c.realm == realm,
        newest.c.type.not_like("v_.%"),
        newest.c.created_at > sa.func.now() - _KEPT,
    )
    found: str | None = connection.scalar(query.limit(1))
    return found
