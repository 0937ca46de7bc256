"""Make sure that an API key belongs to the account whose events are here, before anything is done.

A realm does not name our own account, so what another company's account has would look like ours
that is missing, and ours like what Stripe does not know. Stripe has to know one of the newest
events that were settled here. It does not know the samples of ``paidup send``.
"""

from collections.abc import Sequence
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

_ASKED_FOR: Final = 3

_KEPT: Final = sa.text("interval '29 days'")
"""Stripe may have dropped an older event."""


class Proof(StrEnum):
    """The knowledge of whose a key is."""

    SAME = "same"
    OPEN = "open"
    """Nothing of the account was settled here lately, or the key may not read events."""


class OtherAccount(CommandFailed):
    """Stripe does not know the newest events that were settled here."""

    def __init__(self, event_ids: Sequence[str]) -> None:
        self.event_ids = tuple(event_ids)
        super().__init__(
            f"Stripe does not know {', '.join(event_ids)}, settled here: STRIPE_API_KEY belongs to"
            " another account or mode, or they are samples of `paidup send`, which must not share a"
            " database with Stripe's events; nothing was compared, put in or stored"
        )


def prove_account(engine: Engine, api: PatientApi) -> Proof:
    """Return what is known of the account in which ``api`` asks; no transaction is open meanwhile.

    Raises:
        ApiFailure: Stripe does not answer.
        OtherAccount: it is not the account whose events are here.
    """
    with engine.connect() as connection:
        event_ids = _newest_settled(connection, api.account.realm)
    if not event_ids:
        return Proof.OPEN
    try:
        known = any(not api.ask(f"/v1/events/{each}").gone for each in event_ids)
    except ApiForbidden as refused:
        if not refused.rights:
            raise
        return Proof.OPEN
    if not known:
        raise OtherAccount(event_ids)
    return Proof.SAME


def _newest_settled(connection: Connection, realm: Realm) -> Sequence[str]:
    """Return the newest snapshot events of the account, which the list can show."""
    newest = (
        sa.select(
            StripeEvent.id,
            StripeEvent.realm,
            StripeEvent.type,
            StripeEvent.created_at,
            StripeEvent.settlement,
        )
        .order_by(StripeEvent.settlement.desc())
        .limit(_LOOKED_AT)
        .subquery()
    )
    query = sa.select(newest.c.id).where(
        newest.c.realm == realm,
        newest.c.type.not_like("v_.%"),
        newest.c.created_at > sa.func.now() - _KEPT,
    )
    newest_first = query.order_by(newest.c.settlement.desc())
    return connection.scalars(newest_first.limit(_ASKED_FOR)).all()
