"""Purchases and events of a user that give nothing, and what each one needs. Pure."""

from collections.abc import Iterator

from billing.ids import ObjectKey, object_key, realm_in
from billing.readers.registry import IgnoredReason
from billing.rows import PurchaseRow, PurchaseStatus
from billing.statuses import SUBSCRIPTION_ENDED
from ops.errors import first_line
from ops.queries.ineffective_events import IneffectiveEvent
from ops.queries.user_state import UserState
from ops.terminal.formats import format_time
from runtime.inbox.entries import PeekedEvent

_IN_NO_PLAN = (
    ", which is in no plan: add it to the plans and run `paidup plans apply --reason WHY`."
)


def list_failed(state: UserState) -> Iterator[str]:
    """Yield a sentence for each purchase that expired or failed."""
    for purchase in state.purchases:
        if purchase.status in {PurchaseStatus.EXPIRED, PurchaseStatus.FAILED}:
            yield _unpaid(state, purchase)


def list_without_effect(state: UserState) -> Iterator[str]:
    """Yield a sentence for each event that names the user and has no effect, with the reason."""
    for each in state.without_effect:
        named = f"Event {each.event_id} ({each.type}) names this user and"
        if each.failed:
            details = f"run `paidup dead show {each.event_id}` for details"
            yield f"{named} could not be applied: {first_line(each.why)}; {details}."
        else:
            yield f"{named} was ignored: {_why_ignored(each)}."


def describe_waiting(event: PeekedEvent) -> str:
    """Return a sentence about an event in the inbox."""
    words = [f"Event {event.key} ({event.header.get('type', 'unknown type')}) is not applied yet"]
    if event.received_at:
        words.append(f"received at {format_time(event.received_at)}")
    if event.history.get("last_error"):
        words.append(f"last error: {first_line(event.history['last_error'])}")
    return f"{'; '.join(words)}."


def _why_ignored(each: IneffectiveEvent) -> str:
    return {
        IgnoredReason.WRONG_MODE.value: f"PAIDUP_LIVEMODE excludes {each.realm} events",
        IgnoredReason.UNKNOWN_ACCOUNT.value: (
            f"PAIDUP_CONNECT_ACCOUNTS does not list the account of {each.realm}"
        ),
        IgnoredReason.UNKNOWN_CONTEXT.value: (
            "its context does not prove to which account it belongs;"
            f" `paidup events show {each.event_id} --payload` shows it"
        ),
    }.get(each.why, "an operator discarded its dead letter")


def _by(state: UserState, key: ObjectKey) -> str:
    """Return the newest event about an object, in brackets."""
    return f" ({state.newest[key]})" if key in state.newest else ""


def _unpaid(state: UserState, purchase: PurchaseRow) -> str:
    words = {
        PurchaseStatus.PENDING: "its payment has not succeeded yet",
        PurchaseStatus.EXPIRED: "its checkout expired before it was paid",
        PurchaseStatus.FAILED: "its payment failed",
    }
    plan = f" of plan {purchase.plan_code}" if purchase.plan_code else ""
    by = _by(state, object_key(purchase.realm, purchase.purchase_ref))
    return f"Purchase {purchase.purchase_ref}{plan} gives nothing: {words[purchase.status]}{by}."


def list_waiting(state: UserState) -> Iterator[str]:
    """Yield a sentence for everything that would give access, or is money, and is incomplete."""
    unknown = frozenset[str]().union(*(note.unknown_prices for note in state.notes))
    yield from _unsold(state, unknown)
    for purchase in state.purchases:
        if purchase.status is PurchaseStatus.PENDING:
            yield _unpaid(state, purchase)
    for note in state.notes:
        if note.waiting:
            by = _by(state, ObjectKey(note.party))
            yield (
                f"Access or money of {note.party} names no user yet{by}:"
                " set metadata.user_id on the customer in Stripe."
            )
        for subscription in sorted(note.missing_subscriptions):
            by = _by(state, object_key(realm_in(ObjectKey(note.party)), subscription))
            yield (
                f"Stripe has sent no snapshot of subscription {subscription}. A checkout vouches"
                f" for it for three days{by}: enable customer.subscription.* on the endpoint."
            )
        for customer in sorted(note.incomplete_summaries):
            yield (
                f"Stripe cut off the list of features of customer {customer}. The listed ones are"
                " granted: set STRIPE_API_KEY so that Paidup fetches the rest."
            )


def _unsold(state: UserState, unknown: frozenset[str]) -> Iterator[str]:
    """Yield a sentence for each price in no plan, naming what was sold at it where known."""
    named_prices: set[str] = set()
    for subscription in state.subscriptions:
        for price in unknown.intersection(subscription.prices):
            if subscription.status not in SUBSCRIPTION_ENDED:
                named_prices.add(price)
                named = f"Subscription {subscription.stripe_subscription_id}"
                by = _by(state, object_key(subscription.realm, subscription.stripe_subscription_id))
                yield f"{named} ({subscription.status}) is sold at {price}{by}{_IN_NO_PLAN}"
    for purchase in state.purchases:
        if purchase.status is PurchaseStatus.PAID and purchase.plan_code is None:
            named_prices.add(purchase.price or "")
            named = f"Purchase {purchase.purchase_ref}"
            price = f"at {purchase.price}" if purchase.price else "at an unknown price"
            by = _by(state, object_key(purchase.realm, purchase.purchase_ref))
            yield f"{named} is paid and was sold {price}{by}{_IN_NO_PLAN}"
    yield from (
        f"Something was sold at {price}{_IN_NO_PLAN}" for price in sorted(unknown - named_prices)
    )
