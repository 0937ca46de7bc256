"""API observations: objects as Stripe's API showed them, each with an id of its own.

An observation is dated by the second before its request was sent, by Stripe's clock. A change that
was made while the request was under way is therefore later. It states what is, never what was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from billing.envelope import parse_object
from billing.facts import OBSERVATION_PREFIX, Kind
from billing.families import FAMILIES
from billing.ids import EventId, Realm, stripe_id_of, summary_key
from billing.json_fields import Raw
from billing.text import storable

_SUMMARY: Final = FAMILIES[Kind.ENTITLEMENT_SUMMARY].stripe_name

Name = tuple[str, str]
"""The family and the Stripe id of an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiObservation:
    """One object as the API showed it; ``gone`` means that the API answered with 404.

    ``family`` is Stripe's name of its kind, ``asked_at`` a whole second. ``payload`` is the body
    exactly as Stripe sent it, or one object with all pages of its list.
    """

    family: str
    object_id: str
    asked_at: datetime
    api_version: str | None
    gone: bool
    payload: str = field(repr=False)

    @property
    def id(self) -> EventId:
        """The id that stands where an event's id would: ``obs_``, the object and the second.

        A list of features has no id at Stripe; its id differs from that of its customer.
        """
        named = self.object_id
        if self.family == _SUMMARY:
            named = stripe_id_of(summary_key(Realm(""), named))
        return EventId(f"{OBSERVATION_PREFIX}{named}_{int(self.asked_at.timestamp())}")

    @property
    def name(self) -> Name:
        """The identity of the object."""
        return (self.family, self.object_id)

    @property
    def payload_sha256(self) -> str:
        """The SHA-256 of the payload in hexadecimal digits."""
        return sha256(self.payload.encode()).hexdigest()

    @property
    def raw(self) -> Raw | None:
        """The object; None if it no longer exists."""
        return None if self.gone else parse_object(self.payload.encode())


Observations = tuple[ApiObservation, ...]
"""What the API showed for one event; empty if it had nothing to add."""


def join_observations(
    first: Iterable[ApiObservation], second: Iterable[ApiObservation]
) -> Observations:
    """Return the observations of both, each once; of two with one id the second counts."""
    return tuple({each.id: each for each in (*first, *second)}.values())


def observations_to_json(observations: Observations) -> list[dict[str, Any]]:
    """Return the observations as JSON values."""
    return [
        {
            "family": each.family,
            "object_id": each.object_id,
            "asked_at": each.asked_at.isoformat(),
            "api_version": each.api_version,
            "gone": each.gone,
            "payload": each.payload,
        }
        for each in observations
    ]


def observations_from_json(documents: Iterable[Mapping[str, Any]]) -> Observations:
    """Return the observations of JSON values that another database may have written.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: they are none.
        MalformedEvent: a payload is no JSON object that can be stored.
    """
    return tuple(_observation_from_json(each) for each in documents)


def _observation_from_json(document: Mapping[str, Any]) -> ApiObservation:
    version = document["api_version"]
    found = ApiObservation(
        family=_text(document, "family"),
        object_id=_text(document, "object_id"),
        asked_at=_second(document["asked_at"]),
        api_version=None if version is None else storable(version),
        gone=bool(document["gone"]),
        payload=_text(document, "payload"),
    )
    parse_object(found.payload.encode())
    return found


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str) or storable(value) != value:
        raise ValueError(f"{name} is no text that can be stored")
    return value


def _second(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at.astimezone(UTC).replace(microsecond=0)
