"""Purchases and events of a user that give nothing, and what each one needs. Pure."""

from collections.abc import Iterator, Mapping

from billing.ids import ObjectKey, object_key, realm_in, stripe_id_of
from billing.projection.plan_lookup import most_pressing
from billing.readers.registry import IgnoredReason
from billing.rows import NoGrant, PaymentStatus, PurchaseRow, PurchaseStatus
from billing.statuses import SUBSCRIPTION_ENDED
from ops.errors import first_line
from ops.queries.ineffective_events import IneffectiveEvent
from ops.queries.lookups import linking_call
from ops.queries.user_state import PartyNote, UserState
from ops.terminal.formats import format_time
from ops.terminal.money import format_money
from runtime.inbox.entries import PeekedEvent

_SHOWN = 5
"""The sources without a user that a sentence names."""

_TO_PLANS = "run `paidup plans apply --reason WHY`"
_IN_NO_PLAN = {
    NoGrant.UNKNOWN_PRICE: f", which is in no plan: add it to the plans and {_TO_PLANS}.",
    NoGrant.FORMER_PRICE: (
        ", which only an earlier version of the plans has: add it to a plan, or to"
        f" `[catalogue] nothing`, and {_TO_PLANS}."
    ),
    NoGrant.KEPT_PRICE: (
        ", which is in no plan, so it keeps what it granted before: add it to the plans and"
        f" {_TO_PLANS}."
    ),
}
_NOTED = {
    NoGrant.EMPTY_PLAN: "Plan {} gives no feature: add some and " + _TO_PLANS + ".",
    NoGrant.UNNAMED: (
        "{} is paid and names no price and no plan, so it gives nothing: name one in its metadata"
        " (`price_id` or `plan_code`) before it is paid."
    ),
}
_ON_PURPOSE = {
    NoGrant.PART_OF_SUBSCRIPTION: "{} is a part of its subscription and gives nothing of its own.",
    NoGrant.BESIDE_SUBSCRIPTION: (
        "Payment {} names a plan for which its customer had a subscription already, so it gives"
        " nothing of its own."
    ),
    NoGrant.NOTHING: "{} gives nothing on purpose (`[catalogue] nothing`).",
}


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
    if not state.has_user:
        yield from _without_user(state)
    noted = most_pressing(*map(_reasons, state.notes))
    yield from _unsold(
        state, {name: _IN_NO_PLAN[why] for name, why in noted.items() if why in _IN_NO_PLAN}
    )
    yield from _sentences(noted, _NOTED)
    for purchase in state.purchases:
        if purchase.status is PurchaseStatus.PENDING:
            yield _unpaid(state, purchase)
    for note in state.notes:
        yield from _incomplete(state, note)


def list_on_purpose(state: UserState) -> Iterator[str]:
    """Yield a sentence for everything that was paid for and is meant to give nothing."""
    yield from _sentences(most_pressing(*map(_reasons, state.notes)), _ON_PURPOSE)


def _reasons(note: PartyNote) -> dict[str, NoGrant]:
    return {name: NoGrant(why) for name, why in note.without_grant.items()}


def _sentences(noted: Mapping[str, NoGrant], says: Mapping[NoGrant, str]) -> Iterator[str]:
    for name, why in sorted(noted.items()):
        if why in says:
            yield says[why].format(name)


def _incomplete(state: UserState, note: PartyNote) -> Iterator[str]:
    """Yield a sentence for everything that a party lacks."""
    yield from _between_users(state, note)
    for subscription in sorted(note.missing_subscriptions):
        by = _by(state, object_key(realm_in(ObjectKey(note.party)), subscription))
        yield (
            f"Stripe has sent no snapshot of subscription {subscription}. Only a paid checkout"
            f" vouches for it, for three days{by}: enable customer.subscription.* on the endpoint."
        )
    for payment in sorted(note.awaiting_invoice):
        yield (
            f"Payment {payment} names an invoice that no event has shown. The invoice decides"
            " what it bought: enable invoice.paid on the endpoint."
        )
    for checkout in map(ObjectKey, sorted(note.without_line_items)):
        yield (
            f"The line items of checkout {stripe_id_of(checkout)} are not known, so what it"
            " sold and how many is assumed: set STRIPE_API_KEY so that Paidup fetches them."
        )
    for customer in sorted(note.incomplete_summaries):
        yield (
            f"Stripe cut off the list of features of customer {customer}. The listed ones are"
            " granted: set STRIPE_API_KEY so that Paidup fetches the rest."
        )
    for key in sorted(note.incomplete_items):
        yield (
            f"Stripe cut off the list of items of subscription {stripe_id_of(ObjectKey(key))}."
            " It keeps what it had: set STRIPE_API_KEY so that Paidup fetches the rest."
        )
    for key in sorted(note.incomplete_lines):
        yield (
            f"Stripe cut off the list of lines of {stripe_id_of(ObjectKey(key))}. The listed ones"
            " count: set STRIPE_API_KEY so that Paidup fetches the rest."
        )


def _without_user(state: UserState) -> Iterator[str]:
    """Yield a sentence for each subscription, purchase and payment that waits for its user."""
    for subscription in state.subscriptions:
        if subscription.user_id is None and subscription.status not in SUBSCRIPTION_ENDED:
            by = _by(state, object_key(subscription.realm, subscription.stripe_subscription_id))
            named = f"Subscription {subscription.stripe_subscription_id} ({subscription.status})"
            yield f"{named} waits for a user{by}."
    for purchase in state.purchases:
        if purchase.user_id is None and purchase.status is PurchaseStatus.PAID:
            by = _by(state, object_key(purchase.realm, purchase.purchase_ref))
            plan = f" of plan {purchase.plan_code}" if purchase.plan_code else ""
            yield f"Purchase {purchase.purchase_ref}{plan} is paid and waits for a user{by}."
    for payment in state.payments:
        if payment.user_id is None and payment.status is PaymentStatus.SUCCEEDED:
            money = format_money(payment.amount_minor, payment.currency)
            by = _by(state, object_key(payment.realm, payment.payment_ref))
            yield f"Payment {payment.payment_ref} of {money} waits for a user{by}."


def _between_users(state: UserState, note: PartyNote) -> Iterator[str]:
    """Yield a sentence about what has no user, and one for each group of possible users."""
    undecided: dict[tuple[str, ...], list[str]] = {}
    for source, users in sorted(note.candidates.items()):
        undecided.setdefault(tuple(users), []).append(source)
    if note.waiting and (not undecided or () in undecided):
        by = _by(state, ObjectKey(note.party))
        yield (
            f"Access or money of {note.party} names no user yet{by}: set metadata.user_id on the"
            f" customer in Stripe, or say whose it is: {linking_call(_named(note))}."
        )
    for users, sources in undecided.items():
        if users:
            more = len(sources) - _SHOWN
            shown = ", ".join(sources[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
            yield (
                f"The user of {shown} is {' or '.join(users)}, who were all named under the same"
                " customer before: set metadata.user_id on the customer in Stripe, or say whose"
                f" it is: {linking_call(sources[0])}."
            )


def _named(note: PartyNote) -> str:
    return stripe_id_of(ObjectKey(note.party))


def _unsold(state: UserState, unknown: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each price in no plan, naming what was sold at it where known."""
    named_prices: set[str] = set()
    for subscription in state.subscriptions:
        for price in sorted(unknown.keys() & set(subscription.prices)):
            if subscription.status not in SUBSCRIPTION_ENDED:
                named_prices.add(price)
                named = f"Subscription {subscription.stripe_subscription_id}"
                by = _by(state, object_key(subscription.realm, subscription.stripe_subscription_id))
                yield f"{named} ({subscription.status}) is sold at {price}{by}{unknown[price]}"
    for purchase in state.purchases:
        if purchase.status is PurchaseStatus.PAID and purchase.plan_code is None:
            named_prices.add(purchase.price or "")
            named = f"Purchase {purchase.purchase_ref}"
            price = f"at {purchase.price}" if purchase.price else "at an unknown price"
            by = _by(state, object_key(purchase.realm, purchase.purchase_ref))
            todo = unknown.get(purchase.price or "", _IN_NO_PLAN[NoGrant.UNKNOWN_PRICE])
            yield f"{named} is paid and was sold {price}{by}{todo}"
    for price in sorted(unknown.keys() - named_prices):
        yield f"Something was sold at {price}{unknown[price]}"
