"""Show what ``expand[]`` asks for: a list that Stripe leaves out, or an object for its id."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.worlds.records import Invoice, InvoicePayment
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
    if raw["id"] in account.listed:
        name = "items" if raw["object"] == "subscription" else "lines"
        raw[name] = shown(account.listed[raw["id"]], f"/v1/{raw['id']}/{name}")
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
            payments = payments_of(account, raw["id"], at, shape)
            return shown(payments, f"/v1/invoice_payments?invoice={raw['id']}")
        case ("checkout.session", "line_items"):
            lines = account.line_items.get(raw["id"], [])
            return shown(lines, f"/v1/checkout/sessions/{raw['id']}/line_items")
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
    """Return the payments of an invoice, the newest first.

    One that is finalised has a payment that is open, before any event is about it.
    https://docs.stripe.com/api/invoice-payment/object#invoice_payment_object-is_default
    """
    order = account.orders.get(("invoice_payment", "invoice", invoice))
    names = [place.id for place in order.before(None)] if order else []
    states = [state for name in names if (state := account.state_of(name, at)) is not None]
    if not states and (still_open := _open_payment(account, invoice, names, at)):
        states.append(still_open)
    return [account.show(state, shape) for state in states]


def _open_payment(
    account: AccountState, invoice: str, names: list[str], at: datetime
) -> InvoicePayment | None:
    state = account.state_of(invoice, at)
    if not isinstance(state, Invoice) or state.status != "open" or state.intent is None:
        return None
    return InvoicePayment(
        id=names[-1] if names else f"inpay_{invoice.removeprefix('in_')}",
        invoice=invoice,
        intent=state.intent,
        amount=state.due,
        created=state.finalized_at or state.created,
        status="open",
    )


def shown(entries: list[Json], url: str) -> Json:
    """Return a list as an object shows it: the first ten."""
    more = len(entries) > SHOWN
    return {"object": "list", "data": entries[:SHOWN], "has_more": more, "url": url}


def _no_expansion(name: str) -> StripeRefusal:
    return bad_parameter("expand", f"This property cannot be expanded ({name}).")
