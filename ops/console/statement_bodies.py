"""Read the bodies of requests that state something: JSON objects with known members alone."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing.catalogue import MAX_NUMBER, FeatureValue
from billing.text import storable
from ops.errors import CommandFailed
from ops.statements.grants import EndRequest, GrantRequest
from ops.statements.links import LinkRequest
from ops.statements.request import MAX_NAME, MAX_TEXT, read_period

MAX_BODY_BYTES: Final = 65_536
_SHOWN: Final = 50
"""Characters of an unknown name that a problem shows."""

_OPTION: Final = re.compile(r"--(plan|feature|for|until|forever|new-user|new-feature)(?![\w-])")
_MEMBERS: Final = {"feature": "features", "new-user": "new_user", "new-feature": "new_feature"}
"""Members of a body that are called otherwise than the option of the command."""

_GRANT: Final = {
    "user_id": str,
    "plan": str,
    "features": dict,
    "for": str,
    "until": str,
    "from": str,
    "forever": bool,
    "reason": str,
    "test": bool,
    "new_user": bool,
    "new_feature": bool,
}
_LINK: Final = {"target": str, "user_id": str, "reason": str, "new_user": bool}
_END: Final = {"reason": str}


class UnusableBody(Exception):
    """The body is not what the OpenAPI document says; the text names what is wrong."""


def read_grant(body: bytes, actor: str, zone: ZoneInfo) -> GrantRequest:
    """Return the grant that a body asks for.

    Raises:
        UnusableBody: it is no grant.
    """
    stated = _members(body, _GRANT, required=("user_id", "reason"))
    try:
        starts_at, lasts, until = read_period(
            zone,
            starts=stated.get("from"),
            lasts=stated.get("for"),
            until=stated.get("until"),
            forever=stated.get("forever", False),
        )
    except CommandFailed as error:
        raise UnusableBody(in_members(str(error))) from error
    return GrantRequest(
        user_id=stated["user_id"],
        plan_code=stated.get("plan"),
        features=_features(stated.get("features", {})),
        starts_at=starts_at,
        lasts=lasts,
        until=until,
        actor=actor,
        reason=stated["reason"],
        test=stated.get("test", False),
        new_user=stated.get("new_user", False),
        new_feature=stated.get("new_feature", False),
    )


def read_link(body: bytes, actor: str) -> LinkRequest:
    """Return the link that a body asks for.

    Raises:
        UnusableBody: it is no link.
    """
    stated = _members(body, _LINK, required=("target", "user_id", "reason"))
    return LinkRequest(
        target=stated["target"],
        user_id=stated["user_id"],
        actor=actor,
        reason=stated["reason"],
        new_user=stated.get("new_user", False),
    )


def read_end(body: bytes, statement: str, actor: str) -> EndRequest:
    """Return the end of a grant or link that a body asks for.

    Raises:
        UnusableBody: it gives no reason.
    """
    stated = _members(body, _END, required=("reason",))
    return EndRequest(id=storable(statement), actor=actor, reason=stated["reason"])


def _members(
    body: bytes, known: Mapping[str, type], *, required: tuple[str, ...]
) -> dict[str, Any]:
    try:
        document = json.loads(body.decode(), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise UnusableBody("the body is not JSON in UTF-8") from error
    if not isinstance(document, dict):
        raise UnusableBody("the body is not a JSON object")
    if unknown := sorted(document.keys() - known.keys()):
        raise UnusableBody(f"{unknown[0][:_SHOWN]!r} is unknown; members: {', '.join(known)}")
    for name, value in document.items():
        if type(value) is not known[name]:
            raise UnusableBody(f"{name} is not a {_WORDS[known[name]]}")
    if missing := [name for name in required if not document.get(name)]:
        raise UnusableBody(f"{missing[0]} is missing")
    return {name: _text(name, value) for name, value in document.items()}


def in_members(text: str) -> str:
    """Return a sentence about options of a command as one about members of a body."""
    return _OPTION.sub(lambda option: f"`{_MEMBERS.get(option[1], option[1])}`", text)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UnusableBody(f"{twice[:_SHOWN]!r} stands there twice")
    return document


_WORDS: Final = {str: "text", bool: "true or false", dict: "JSON object"}


def _text(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = storable(value).strip()
    if not text or len(text) > MAX_TEXT:
        raise UnusableBody(f"{name} needs 1 to {MAX_TEXT} characters")
    return text


def _features(stated: Mapping[str, Any]) -> dict[str, FeatureValue]:
    for name, value in stated.items():
        usable = isinstance(value, bool) or (isinstance(value, int) and 0 <= value <= MAX_NUMBER)
        if not usable:
            raise UnusableBody(f"the feature {name!r} is neither true, false nor a whole number")
        if not name.isprintable() or not 0 < len(name) <= MAX_NAME or " " in name:
            raise UnusableBody(f"{name!r} names no feature")
    return dict(stated)
