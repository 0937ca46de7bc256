"""Show what ``expand[]`` asks for: a list that Stripe leaves out, or an object for its id."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.worlds.rendering import SHOWN
from tests.stripe.refusals import StripeRefusal, bad_parameter
from tests.stripe.state import AccountState, Json

DEEPEST: Final = 4


def refuse_odd_expansions(expand: Iterable[str], *, prefix: str = "") -> None:
    """Refuse what Stripe refuses before it looks at the object.

    Raises:
        StripeRefusal: it goes too deep, or past the entries of a list.
    """
    for each in expand:
        if each.count(".") >= DEEPEST:
            text = f"You cannot expand more than {DEEPEST} levels of a property"
            raise bad_parameter("expand", text)
        if not each.startswith(prefix):
            raise _no_expansion(each)


def expanded(
    account: AccountState, raw: Json, expand: Sequence[str], at: datetime, shape: Shape
) -> Json:
    """Return an object with everything shown that was asked for.

    Raises:
        StripeRefusal: something of it cannot be expanded.
    """
    if raw["id"] in account.listed and raw["object"] in ("subscription", "invoice"):
        name = "items" if raw["object"] == "subscription" else "lines"
        raw[name] = shown(account.listed[raw["id"]])
    elif raw["id"] in account.listed:
        raw["lines"] = shown(account.listed[raw["id"]])
    for each in expand:
        name, _, rest = each.partition(".")
        left_out = _left_out(account, raw, name, at, shape)
        inner = _expandable(account, raw, name, at, shape) if left_out is None else left_out
        if rest and inner is not None:
            if "id" not in inner:
                raise _no_expansion(each)
            inner = expanded(account, inner, [rest], at, shape)
        raw[name] = inner
    return raw


def _left_out(
    account: AccountState, raw: Json, name: str, at: datetime, shape: Shape
) -> Json | None:
    match (raw["object"], name):
        case ("invoice", "payments"):
            return shown(payments_of(account, raw["id"], at, shape))
        case ("checkout.session", "line_items"):
            return shown(account.line_items.get(raw["id"], []))
        case _:
            return None


def _expandable(
    account: AccountState, raw: Json, name: str, at: datetime, shape: Shape
) -> Json | None:
    inner = raw.get(name)
    if isinstance(inner, str) and (state := account.state_of(inner, at)) is not None:
        return account.show(state, shape)
    if isinstance(inner, dict) and "id" in inner:
        return dict(inner)
    if inner is None and name in raw:
        return None
    raise _no_expansion(name)


def payments_of(account: AccountState, invoice: str, at: datetime, shape: Shape) -> list[Json]:
    """Return the payments of an invoice, the newest first."""
    order = account.orders.get(("invoice_payment", "invoice", invoice))
    places = order.before(None) if order else ()
    states = (account.state_of(place.id, at) for place in places)
    return [account.show(state, shape) for state in states if state is not None]


def shown(entries: list[Json]) -> Json:
    """Return a list as an object shows it: the first ten."""
    return {"object": "list", "data": entries[:SHOWN], "has_more": len(entries) > SHOWN}


def _no_expansion(name: str) -> StripeRefusal:
    return bad_parameter("expand", f"This property cannot be expanded ({name}).")
