"""The envelope of a Stripe event: what an event says about itself, before its object is read.

Ingest and the workers decode bodies in the same way (``runtime/event_body.py``). Two JSON parsers
disagree about lone surrogates and huge numbers; an event that one accepts and the other refuses
could never be settled.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite
from typing import Any, NoReturn

from billing.errors import MalformedEvent
from billing.ids import EventId, Realm, object_key, realm_of
from billing.text import storable

THIN = "v2.core.event"
MAX_DEPTH = 200
"""The deepest nesting that is accepted. Code that copies or stores a body later may recurse."""

LATEST = 4 * 4102444800
"""The latest time in seconds that counts as a time. Stripe states none later."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_END = datetime.fromtimestamp(LATEST, UTC)
_EVENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_CONTEXT = re.compile(r"(org_[A-Za-z0-9_]+/)?(acct_[A-Za-z0-9_]+/)*acct_[A-Za-z0-9_]+")
"""A path of accounts, each within the one before it (https://docs.stripe.com/context)."""

_TYPE = re.compile(r"[!-~]{1,255}")
_LONGEST_ID = 255
_LONGEST_VERSION = 100
_NO_OBJECT: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One event as Stripe signed it. Its representation shows neither body nor payload."""

    event_id: EventId
    type: str
    api_version: str | None
    account: str | None
    """The account that owns the object: ``account``, else the last one in ``context``."""
    owner_known: bool
    """False if ``context`` cannot be read, or contradicts ``account``: the owner is unproven."""
    livemode: bool
    created_at: datetime
    object_id: str | None
    customer_id: str | None
    thin: bool
    """True for a ``v2.core.event``: it names its object and does not contain it."""
    partition: str
    """The partition key. One worker at a time processes the events of a partition."""
    fingerprint: str
    """Distinguishes two events with one id. All API versions of one event share it."""
    body: bytes = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def realm(self) -> Realm:
        """The Stripe account and mode of the event's object."""
        return realm_of(self.account, livemode=self.livemode)


def snapshot_type(event_type: str) -> str:
    """Return the type of the snapshot event that a thin event stands beside."""
    return event_type.removeprefix("v1.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("infinite")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def decode_json(body: bytes) -> Any:
    """Return the JSON value of a body, refusing ``NaN`` and infinities."""
    return _DECODER.decode(body.decode("utf-8"))


def parse(body: bytes, *, decode: Callable[[bytes], Any] = decode_json) -> Envelope:
    """Return the envelope of a Stripe event of any type and API version.

    ``decode`` parses JSON and raises what ``decode_json`` raises.

    Raises:
        MalformedEvent: the bytes are no Stripe event. No other error is raised.
    """
    payload = parse_object(body, decode)
    thin = payload.get("object") == THIN
    stated = _stated_object(payload, thin=thin)
    event_id = EventId(_matching(payload, "id", _EVENT_ID))
    event_type = _matching(payload, "type", _TYPE)
    stated_account = _stated_account(payload)
    account = stated_account or _account_in_context(payload)
    livemode = _livemode(payload)
    customer_id = _customer(stated)
    object_id = usable_id(stated.get("id")) or customer_id
    realm = realm_of(account, livemode=livemode)
    return Envelope(
        event_id=event_id,
        type=event_type,
        api_version=_api_version(payload),
        account=account,
        owner_known=_is_owner_known(payload, account),
        livemode=livemode,
        created_at=_created(payload, thin=thin),
        object_id=object_id,
        customer_id=customer_id,
        thin=thin,
        partition=object_key(realm, customer_id or object_id or event_id),
        # The same snapshot may come with and without a context: from two endpoints, for example.
        fingerprint=_fingerprint(
            event_type, account if thin else stated_account, object_id, livemode=livemode
        ),
        body=body,
        payload=payload,
    )


def usable_id(value: Any) -> str | None:
    """Return the value if it can be the id of a Stripe object, else None."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID:
        return value if value.isascii() and value.isprintable() else None
    return None


def referenced_id(value: Any) -> str | None:
    """Return the id of an object that Stripe gives as an id or expanded."""
    return usable_id(value.get("id") if isinstance(value, dict) else value)


def parse_object(body: bytes, decode: Callable[[bytes], Any] = decode_json) -> dict[str, Any]:
    """Return a body's JSON object, if it can be copied and stored.

    Raises:
        MalformedEvent: the body is no JSON object, or is nested too deeply.
    """
    try:
        payload = decode(body)
    except UnicodeDecodeError:
        raise MalformedEvent("the body is not UTF-8") from None
    except RecursionError:
        raise MalformedEvent("the body is nested too deeply") from None
    except ValueError:
        raise MalformedEvent("the body is not JSON, or has numbers that are too large") from None
    if not isinstance(payload, dict):
        raise MalformedEvent("the body is not a JSON object")
    _refuse_depth(body, payload)
    return payload


def _refuse_depth(body: bytes, payload: dict[str, Any]) -> None:
    # A body with few brackets cannot be deep, so most events cost only this count.
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    level: list[Any] = [payload]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _containers_in(outer)]
        if not level:
            return
    raise MalformedEvent("the body is nested too deeply")


def _containers_in(outer: Any) -> list[Any]:
    values = outer.values() if isinstance(outer, dict) else outer
    return [value for value in values if isinstance(value, dict | list)]


def _stated_object(payload: dict[str, Any], *, thin: bool) -> Mapping[str, Any]:
    if thin:
        related = payload.get("related_object")
        return related if isinstance(related, dict) else _NO_OBJECT
    data = payload.get("data")
    stated = data.get("object") if isinstance(data, dict) else None
    if not isinstance(stated, dict):
        raise MalformedEvent("there is no data.object")
    return stated


def _stated_account(payload: dict[str, Any]) -> str | None:
    return None if payload.get("account") is None else _matching(payload, "account", _ACCOUNT)


def _account_in_context(payload: dict[str, Any]) -> str | None:
    context = payload.get("context")
    last = context.rpartition("/")[2] if isinstance(context, str) else ""
    return last if last.startswith("acct_") and _ACCOUNT.fullmatch(last) else None


def _is_owner_known(payload: dict[str, Any], account: str | None) -> bool:
    context = payload.get("context")
    if context is None:
        return True
    readable = isinstance(context, str) and _CONTEXT.fullmatch(context) is not None
    return readable and _account_in_context(payload) == account


def _matching(payload: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = payload.get(name)
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise MalformedEvent(f"there is no usable {name}" if name in payload else f"{name} is missing")


def _livemode(payload: dict[str, Any]) -> bool:
    livemode = payload.get("livemode", False)
    if isinstance(livemode, bool):
        return livemode
    raise MalformedEvent("livemode is neither true nor false")


def _api_version(payload: dict[str, Any]) -> str | None:
    version = payload.get("api_version")
    return storable(version[:_LONGEST_VERSION]) if isinstance(version, str) else None


def _customer(stated: Mapping[str, Any]) -> str | None:
    if stated.get("object") == "customer":
        return usable_id(stated.get("id"))
    return referenced_id(stated.get("customer")) or referenced_id(stated.get("customer_account"))


def _created(payload: dict[str, Any], *, thin: bool) -> datetime:
    created = payload.get("created")
    moment = (
        _read_iso_time(created)
        if thin and isinstance(created, str)
        else _read_epoch_seconds(created)
    )
    if moment is None:
        raise MalformedEvent(
            "created is no time that Stripe states"
            if "created" in payload
            else "created is missing"
        )
    return moment


def _read_epoch_seconds(seconds: Any) -> datetime | None:
    if type(seconds) is int and 0 <= seconds <= LATEST:
        return datetime.fromtimestamp(seconds, UTC)
    return None


def _read_iso_time(moment: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(moment)
        seconds = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return seconds if _EPOCH <= seconds <= _END else None


def _fingerprint(
    event_type: str, account: str | None, object_id: str | None, *, livemode: bool
) -> str:
    identity = "\n".join((event_type, account or "", str(livemode), object_id or ""))
    return sha256(identity.encode()).hexdigest()[:16]
