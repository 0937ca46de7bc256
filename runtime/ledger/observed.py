"""API observations in the database, so that reading an event again asks Stripe nothing.

They are read before the transaction begins, since reading events holds no locks. The transaction
notices what changed in between and reads it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from billing.fetching.observations import ApiObservation, Observations
from billing.fetching.record import FetchPlan, targets_from_text
from billing.ids import EventId, Realm
from models.tables import StoredObservation
from runtime.ledger.bulk import insert_rows
from runtime.ledger.deliveries import Delivery
from runtime.ledger.errors import ObservationTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFetches:
    """The state of fetching for a settled event: what is pending and what the API showed.

    ``observations`` are None if the API was never asked.
    """

    pending: FetchPlan = ()
    observations: Observations | None = None


def with_stored_fetches(engine: Engine, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the deliveries, replays with the observations that are stored for them."""
    ids = [each.envelope.event_id for each in deliveries if _reads_stored(each)]
    stored: Mapping[str, Observations] = {}
    if ids:
        with engine.connect() as connection:
            stored = load_observations(connection, ids)
    return [
        replace(each, observations=found)
        if _reads_stored(each) and (found := stored.get(each.envelope.event_id)) is not None
        else each
        for each in deliveries
    ]


def load_stored_fetches(engine: Engine, event_id: EventId) -> StoredFetches:
    """Return the state of fetching for an event; it is empty if the event is not settled."""
    with engine.connect() as connection:
        pending = connection.scalar(_PENDING, {"id": event_id})
        observations = load_observations(connection, [event_id]).get(event_id)
    return StoredFetches(
        pending=targets_from_text(pending) if pending else (), observations=observations
    )


def load_observations(connection: Connection, event_ids: Sequence[str]) -> dict[str, Observations]:
    """Return what the API showed for each of these events for which it was asked."""
    found: dict[str, Observations] = {}
    for row in connection.execute(_OBSERVATIONS, {"ids": list(event_ids)}):
        found[row.event_id] = found.get(row.event_id, ()) + (
            () if row.id is None else (observation_of(row),)
        )
    return found


class AskedFor(NamedTuple):
    """An observation, and the event for which the API was asked.

    Without one, ``origin`` is the command that had it asked, for ``actor`` and for a ``reason``.
    """

    realm: Realm
    observation: ApiObservation
    event_id: EventId | None = None
    origin: str | None = None
    actor: str | None = None
    reason: str | None = None


def store_observations(connection: Connection, observed: Iterable[AskedFor]) -> None:
    """Insert these observations that are not stored yet.

    Raises:
        ObservationTaken: another answer of the same second is stored and differs.
    """
    rows: dict[str, dict[str, Any]] = {}
    for each in observed:
        row = _row(each)
        _refuse_another(row, rows.setdefault(row["id"], row))
    if not rows:
        return
    in_order = [rows[name] for name in sorted(rows)]
    insert_rows(connection, StoredObservation, in_order, conflict="ignore")
    for stored in connection.execute(_STORED, {"ids": sorted(rows)}).mappings():
        _refuse_another(rows[stored["id"]], dict(stored))


def _refuse_another(row: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if any(row[name] != known[name] for name in _SAME):
        raise ObservationTaken(row["id"])


def _reads_stored(delivery: Delivery) -> bool:
    return delivery.replayed and delivery.observations is None


def observation_of(row: Any) -> ApiObservation:
    """Return the observation of a stored row."""
    return ApiObservation(
        family=row.family,
        object_id=row.object_id,
        asked_at=row.asked_at,
        api_version=row.api_version,
        gone=row.gone,
        payload=row.payload,
    )


def _row(asked: AskedFor) -> dict[str, Any]:
    observation = asked.observation
    return {
        "id": observation.id,
        "object_id": observation.object_id,
        "family": observation.family,
        "realm": asked.realm,
        "event_id": asked.event_id,
        "asked_at": observation.asked_at,
        "api_version": observation.api_version,
        "gone": observation.gone,
        "payload": observation.payload,
        "payload_sha256": observation.payload_sha256,
        "origin": asked.origin,
        "actor": asked.actor,
        "reason": asked.reason,
    }


_SAME = ("realm", "payload_sha256")
"""What answers of one second about one object have in common, or they are two."""

_OBSERVATIONS = text(
    "SELECT event.id AS event_id, seen.id, seen.family, seen.object_id, seen.asked_at,"
    " seen.api_version, seen.gone, seen.payload"
    " FROM stripe_events AS event"
    " LEFT JOIN LATERAL (SELECT * FROM api_observations"
    "  WHERE id = ANY (event.observations)) AS seen ON true"
    " WHERE event.id = ANY(:ids) AND event.observations IS NOT NULL"
    " ORDER BY event.id, seen.asked_at, seen.id"
)
_PENDING = text("SELECT pending_fetches FROM stripe_events WHERE id = :id")
_STORED = text("SELECT id, realm, payload_sha256 FROM api_observations WHERE id = ANY(:ids)")
