"""Webhook endpoints of an account: made, changed and removed by requests, as Stripe's API does."""

from collections.abc import Sequence
from typing import Any, Final

from ops.samples.api_shapes import Shape
from tests.stripe.queries import read_pairs
from tests.stripe.refusals import bad_parameter, missing, missing_parameter, unknown_parameter
from tests.stripe.state import AccountState, Json, family_of

PATH: Final = "/v1/webhook_endpoints"
FAMILY: Final = "webhook_endpoint"
_ON_CHANGE: Final = frozenset({"description", "disabled", "enabled_events", "metadata", "url"})
_ON_CREATE: Final = frozenset(
    {"api_version", "connect", "description", "enabled_events", "metadata", "url"}
)


def render_endpoint(
    endpoint_id: str,
    url: str,
    types: Sequence[str],
    *,
    created: int = 1_700_000_000,
    **given: Any,
) -> Json:
    """Return an endpoint, which is enabled unless ``given`` says otherwise."""
    return {
        "id": endpoint_id,
        "object": FAMILY,
        "api_version": None,
        "application": None,
        "created": created,
        "description": None,
        "enabled_events": list(types),
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
        **given,
    }


def write_endpoint(account: AccountState, path: str, form: str, now: float) -> Json:
    """Make an endpoint, or change the one that the path names.

    Raises:
        StripeRefusal: Stripe would not do it.
    """
    endpoint_id = path.removeprefix(PATH).lstrip("/")
    stated = _read_form(form, _ON_CHANGE if endpoint_id else _ON_CREATE)
    if endpoint_id:
        known = endpoint_of(account, endpoint_id)
        disabled = stated.pop("disabled", "false" if known["status"] == "enabled" else "true")
        changed = {**known, **stated, "status": "disabled" if disabled == "true" else "enabled"}
        account.put(changed)
        return account.show(changed, Shape.NEW)
    for name in ("url", "enabled_events"):
        if name not in stated:
            raise missing_parameter(name)
    stated.pop("connect", None)
    made = render_endpoint(
        f"we_{len(account.states)}{int(now)}",
        stated.pop("url"),
        stated.pop("enabled_events"),
        created=int(now),
        **stated,
    )
    account.put(made)
    secret = made["id"].removeprefix("we_").rjust(32, "0")
    return {**account.show(made, Shape.NEW), "secret": f"whsec_{secret}"}


def remove_endpoint(account: AccountState, path: str) -> Json:
    """Remove an endpoint.

    Raises:
        StripeRefusal: there is none.
    """
    endpoint_id = str(endpoint_of(account, path.removeprefix(PATH).lstrip("/"))["id"])
    account.drop(endpoint_id)
    return {"id": endpoint_id, "object": FAMILY, "deleted": True}


def endpoint_of(account: AccountState, endpoint_id: str) -> Json:
    """Return an endpoint.

    Raises:
        StripeRefusal: there is none.
    """
    state = account.state_of(endpoint_id)
    if not isinstance(state, dict) or family_of(state) != FAMILY:
        raise missing(FAMILY, endpoint_id)
    return state


def _read_form(form: str, allowed: frozenset[str]) -> dict[str, Any]:
    stated: dict[str, Any] = {}
    for name, inner, value in read_pairs(form):
        if name not in allowed:
            raise unknown_parameter(name)
        if name == "enabled_events":
            stated.setdefault(name, []).append(value)
        elif name == "metadata":
            stated.setdefault(name, {})[inner or ""] = value
        else:
            stated[name] = value
    if not str(stated.get("url", "https://")).startswith(("http://", "https://")):
        text = "Invalid URL: An explicit scheme (such as https) must be provided."
        raise bad_parameter("url", text, "url_invalid")
    return stated
