"""Print an API observation for ``paidup events show``, or turn it into JSON values."""

from ops.events.facts_text import print_facts
from ops.events.render import parse_body, print_body
from ops.queries.event_trace import RecordedObservation
from ops.terminal.formats import format_time
from ops.terminal.output import Json, print_pairs, print_text, to_json


def observation_document(observation: RecordedObservation, *, payload: bool) -> Json:
    """Return the observation as JSON values."""
    body = {"payload": parse_body(observation.payload.encode())} if payload else {}
    return {
        "observation_id": observation.seen.id,
        "observation": to_json(observation.seen),
        "asked_for": list(observation.asked_for),
        "facts": to_json(observation.facts),
        **body,
    }


def print_observation(observation: RecordedObservation, *, payload: bool) -> None:
    """Print the object, when and for which events the API was asked, and what it says."""
    seen = observation.seen
    print_text(seen.id, style="bold")
    status = "Stripe's API said that it does not exist" if seen.gone else "shown by Stripe's API"
    words = {
        "status": status,
        "object": seen.object_id,
        "kind": seen.family,
        "account and mode": seen.realm,
        "asked at": format_time(seen.asked_at),
        **_asking(observation),
        "API version": seen.api_version,
    }
    print_pairs(words.items())
    print_facts("facts", observation.facts, "the object is gone" if seen.gone else None)
    if payload:
        print_body(observation.payload.encode())


def _asking(observation: RecordedObservation) -> dict[str, str | None]:
    """Return the command that had it asked, the events for which it was asked, or both."""
    by, events = observation.seen.asked_by, ", ".join(observation.asked_for)
    if by is None:
        return {"asked for": events or observation.seen.event_id}
    return {"asked by": by, "asked for": events} if events else {"asked by": by}
