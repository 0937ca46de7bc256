"""Write observations that no event asked for as JSON lines, and read such lines.

They stand after the events of an export. An observation that was made for an event stands with it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from sqlalchemy import ColumnElement, Connection, func, select

from billing.fetching.observations import observations_from_json, observations_to_json
from billing.ids import Realm
from models.tables import StoredObservation
from ops.queries.events import EventFilter, Parties, facts_about
from ops.terminal.output import to_json
from runtime.ledger.observe import ObservedObject, ObserveOrigin
from runtime.ledger.observed import observation_of

_READ_AT_ONCE: Final = 200
_ORIGINS: Final = frozenset(get_args(ObserveOrigin))


def count_observations(connection: Connection, wanted: EventFilter, parties: Parties) -> int:
    """Return the number of observations for no event that match."""
    matching = _conditions(wanted, parties)
    query = select(func.count()).select_from(StoredObservation).where(*matching or ())
    return connection.scalar(query) or 0 if matching else 0


def observation_lines(
    connection: Connection, wanted: EventFilter, parties: Parties
) -> Iterator[bytes]:
    """Yield one line of JSON for each observation for no event, in the order of asking."""
    matching = _conditions(wanted, parties)
    if not matching:
        return
    in_order = (StoredObservation.asked_at, StoredObservation.id)
    query = select(StoredObservation.__table__).where(*matching).order_by(*in_order)
    for row in connection.execute(query, execution_options={"yield_per": _READ_AT_ONCE}):
        (shown,) = observations_to_json((observation_of(row),))
        asked = {"origin": row.origin, "actor": row.actor, "reason": row.reason}
        line = {"observation_id": row.id, "realm": row.realm, **shown, **asked}
        line["payload_sha256"] = row.payload_sha256
        yield json.dumps(to_json(line), separators=(",", ":")).encode() + b"\n"


def _conditions(wanted: EventFilter, parties: Parties) -> Sequence[ColumnElement[bool]]:
    """Return the conditions in SQL; none if the filter asks for what only events have."""
    of_events = (wanted.event, wanted.types, wanted.outcome, wanted.reason, wanted.unfetched)
    if any(of_events):
        return ()
    matching: list[ColumnElement[bool]] = [StoredObservation.event_id.is_(None)]
    if wanted.since:
        matching.append(StoredObservation.asked_at >= wanted.since)
    if wanted.until:
        matching.append(StoredObservation.asked_at < wanted.until)
    for name, members in parties.items():
        stated = facts_about(members, name if name in wanted.objects else None)
        matching.append(StoredObservation.id.in_(stated))
    return matching


def is_observation_line(document: Mapping[str, Any]) -> bool:
    """Return True if the document of a line is an observation and no event."""
    return "observation_id" in document


def read_observation_line(document: Mapping[str, Any]) -> tuple[ObservedObject, ObserveOrigin]:
    """Return the observation of a line, and the command that had it asked.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none.
        MalformedEvent: its payload is no JSON object that can be stored.
    """
    (observation,) = observations_from_json((document,))
    if observation.payload_sha256 != document["payload_sha256"]:
        raise ValueError("the payload does not match payload_sha256")
    if observation.id != document["observation_id"]:
        raise ValueError(f"the payload is that of {observation.id}")
    origin = document["origin"]
    if origin not in _ORIGINS:
        raise ValueError(f"{origin} is neither of {', '.join(sorted(_ORIGINS))}")
    return ObservedObject(realm=Realm(document["realm"]), observation=observation), origin
