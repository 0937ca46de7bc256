"""For each rule of the worlds, the change of ``billing`` that switches it off.

A switch replaces functions or constants of ``billing`` by others that lack the rule. Worlds that
exercise the rule must then fail: else neither they nor the rule would matter.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any, NamedTuple

from billing.catalogue import CLIENT_REFERENCE_ID, METADATA, PolicyAction
from billing.errors import UnreadableEvent
from billing.facts import Kind, Rank
from billing.ids import EVERY_REALM, EventId, Realm
from billing.projection.sold_plans import SoldPlan
from billing.statuses import DISPUTE_WON

Edit = Callable[[Any], Any]
"""Makes the replacement from the original."""


class Change(NamedTuple):
    """One name of ``billing`` (``module:name`` or ``module:Class.name``) and its replacement."""

    target: str
    edit: Edit


@contextmanager
def switched_off(rule: str) -> Iterator[None]:
    """Switch a rule off.

    Raises:
        LookupError: no switch has this name.
    """
    if rule not in SWITCHES:
        raise LookupError(f"no rule {rule!r}: use one of {', '.join(SWITCHES)}")
    with ExitStack() as stack:
        for change in SWITCHES[rule]:
            stack.enter_context(_changed(change))
        yield


@contextmanager
def _changed(change: Change) -> Iterator[None]:
    module, _, path = change.target.partition(":")
    *outer, name = path.split(".")
    owner: Any = import_module(module)
    for each in outer:
        owner = getattr(owner, each)
    original = getattr(owner, name)
    setattr(owner, name, change.edit(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _constant(value: Any) -> Edit:
    """Return an edit that puts a value in the place of another."""
    return lambda _: value


def _always(value: Any) -> Edit:
    """Return an edit to a function, or to a property, that has this value whatever it is given."""

    def edit(original: Any) -> Any:
        return (
            property(lambda _: value) if isinstance(original, property) else lambda *_, **__: value
        )

    return edit


def _no(_: Any) -> Any:
    """Return a function that says no to everything."""
    return lambda *_, **__: False


def _yes(_: Any) -> Any:
    """Return a function that says yes to everything."""
    return lambda *_, **__: True


def _given(alter: Callable[..., tuple[Any, ...]]) -> Edit:
    """Return an edit to a function that is called with altered arguments."""
    return lambda original: lambda *given: original(*alter(*given))


def _result(alter: Callable[[Any], Any]) -> Edit:
    """Return an edit to a function whose result is altered."""
    return lambda original: lambda *given, **named: alter(original(*given, **named))


# Order


def _times_stated(original: Any) -> Any:
    """Return the fold of money that counts each event about one second, not each change."""

    def counted(currency: str, done: Any, *rest: Any) -> Any:
        money = original(currency, done, *rest)
        last = done[-1]
        stated = [each for each in done if each[2:4] == last[2:4] and each.at == last.at]
        return money._replace(amount=money.amount * len(stated))

    return counted


def _deleted_first(rank: Rank) -> int:
    return -1 if rank is Rank.DELETED else rank


def _refuse(*_: Any) -> Any:
    raise UnreadableEvent(EventId("evt_1"), "type")


# User


def _without_metadata(named: Mapping[str, Any]) -> Mapping[str, Any]:
    return {word: [] if word == METADATA else groups for word, groups in named.items()}


def _reversed_words(named: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(reversed(list(named.items())))


def _without_checkouts(ownership: Any, source: Any) -> tuple[Any, Any]:
    """Return what describes a subscription without the words of its checkouts."""
    of_subscription = source.ids and source.ids[0][0].startswith("sub_") and len(source.ids) > 1
    return ownership, source._replace(stated=source.stated[:1]) if of_subscription else source


def _both_words(ownership: Any, objects: Any, matched: Any, identity: Any) -> tuple[Any, ...]:
    words = (*identity.user_from, CLIENT_REFERENCE_ID)
    return ownership, objects, matched, replace(identity, user_from=tuple(dict.fromkeys(words)))


def _forget_links(ownership: Any, customer_id: Any) -> tuple[Any, Any]:
    ownership._links.pop(customer_id, None)
    return ownership, customer_id


def _cleared(original: Any) -> Any:
    """Return the runs of users, of which the last is ended by clearing."""

    def runs(named: Any) -> Any:
        stated = list(named)
        return original(stated) if stated and stated[-1][1] is not None else ()

    return runs


def _oldest_first(named: Any) -> Any:
    stated = [runs[0] for runs in named if runs]
    return min(stated, key=lambda each: (each.since, each.user_id), default=None)


def _forget_the_deleted(folds: Mapping[Kind, Any]) -> Mapping[Kind, Any]:
    collection, fold = folds[Kind.CUSTOMER]

    def forgetful(key: Any, history: Any) -> Any:
        state = fold(key, history)
        if any(fact.fields.deleted for fact in history.facts):
            return replace(state, user_statements=replace(state.user_statements, changes=()))
        return state

    return {**folds, Kind.CUSTOMER: (collection, forgetful)}


def _moved_whatever_it_was(customer: Any, stated: Any) -> Any:
    return customer.moves[-1].new if customer.moves else stated.user_id


# Access, names and plans


def _no_cancel_at(original: Any) -> Any:
    def ends(snapshot: Any, present: Any) -> Any:
        return None if snapshot.newest.fields.cancel_at else original(snapshot, present)

    return ends


def _or_former_plan(original: Any) -> Any:
    def plan_by_names(lookup: Any, names: Any) -> Any:
        former = (each.plan_by_names(names) for each in lookup.former_lookups())
        return original(lookup, names) or next(filter(None, former), None)

    return plan_by_names


def _unnamed(place: int) -> Edit:
    """Return an edit to the names of an item that takes one away."""

    def without(item: Any) -> Any:
        names = list(item.names)
        names[place] = None
        return replace(item, names=tuple(names))

    return _result(without)


def _with_inverted(*ways: str) -> Edit:
    """Return an edit to the ends of purchases that does the opposite of some policy lines."""
    opposite = {PolicyAction.KEEP: PolicyAction.END, PolicyAction.END: PolicyAction.KEEP}

    def alter(purchase: Any, context: Any) -> tuple[Any, Any]:
        changed = {way: opposite[getattr(context.policy, way)] for way in ways}
        return purchase, context._replace(policy=replace(context.policy, **changed))

    return _given(alter)


# Purchases and money


def _also_prorations(original: Any) -> Any:
    return lambda line: line.proration or original(line)


def _one_by_one(original: Any) -> Any:
    """Return the ends of passes of which none knows the others."""

    def own_ends(purchases: Any) -> Any:
        return {place: end for each in purchases for place, end in original([each]).items()}

    return own_ends


def _uncovered_of(is_kept: Callable[[Any], bool]) -> Edit:
    def edit(original: Any) -> Any:
        def uncovered(matched: Any, billed: Any) -> Any:
            found = original(matched, billed)
            return {ref: rest for ref, rest in found.items() if is_kept(matched.matches[ref])}

        return uncovered

    return edit


def _with_zero_invoices(original: Any) -> Any:
    def uncovered(matched: Any, billed: Any) -> Any:
        invoices = {ref: match.paid for ref, match in matched.matches.items() if match.invoice_id}
        zero = {ref: paid for ref, paid in invoices.items() if paid and not paid.amount}
        return zero | original(matched, billed)

    return uncovered


def _whole_payments(matched: Any, payment: Any) -> int:
    lost = [dispute for dispute in payment.disputes if dispute.lost]
    return len(lost) * int(matched.amount_of(payment.ref))


def _inquiries_are_lost(folds: Mapping[Kind, Any]) -> Mapping[Kind, Any]:
    collection, fold = folds[Kind.DISPUTE]

    def lose(key: Any, history: Any) -> Any:
        state = fold(key, history)
        return replace(state, lost=not (state.open or state.won))

    return {**folds, Kind.DISPUTE: (collection, lose)}


def _ignorant_of_cuts(folds: Mapping[Kind, Any]) -> Mapping[Kind, Any]:
    collection, fold = folds[Kind.ENTITLEMENT_SUMMARY]

    def whole(key: Any, history: Any) -> Any:
        facts = tuple(
            replace(fact, fields=replace(fact.fields, complete=True)) for fact in history.facts
        )
        return fold(key, replace(history, facts=facts))

    return {**folds, Kind.ENTITLEMENT_SUMMARY: (collection, whole)}


# Statements of people


def _without_plan(grant: Any, _: Any, now: Any) -> tuple[Any, ...]:
    return grant, None, now


def _empty(grant: Any) -> Any:
    return replace(grant, fields=replace(grant.fields, features=()))


def _empty_if_lost(grant: Any, plan: Any, now: Any) -> tuple[Any, ...]:
    lost = grant.fields.plan_code is not None and plan is None
    return _empty(grant) if lost else grant, plan, now


def _empty_if_of_features(grant: Any, plan: Any, now: Any) -> tuple[Any, ...]:
    return grant if grant.fields.plan_code else _empty(grant), plan, now


def _in_test_mode(realm: Realm) -> Realm:
    return Realm("test") if realm == EVERY_REALM else realm


def _holds_until_its_end(_: Any) -> Any:
    return lambda grant, now: grant.ends_at is None or now < grant.ends_at


def _grants_that_no_one_ends(folds: Mapping[Kind, Any]) -> Mapping[Kind, Any]:
    return _fold_without(folds, "ended_at")


def _grants_without_an_end(folds: Mapping[Kind, Any]) -> Mapping[Kind, Any]:
    return _fold_without(folds, "until")


def _fold_without(folds: Mapping[Kind, Any], end: str) -> Mapping[Kind, Any]:
    """Return folds whose grants have only one of their two ends."""
    collection, fold = folds[Kind.GRANT]

    def folded(key: Any, history: Any) -> Any:
        state = fold(key, history)
        return replace(state, fields=replace(state.fields, **{end: None}))

    return {**folds, Kind.GRANT: (collection, folded)}


def _oldest_link(original: Any) -> Any:
    def oldest(links: Any) -> Any:
        standing = [each for each in links if not each.ended]
        return original(sorted(standing, key=lambda each: each.since)[:1])

    return oldest


def _links_that_never_end(folds: Mapping[Kind, Any]) -> Mapping[Kind, Any]:
    collection, fold = folds[Kind.LINK]
    return {
        **folds,
        Kind.LINK: (collection, lambda key, history: replace(fold(key, history), ended=False)),
    }


_READERS, _OBJECTS, _PROJECTION = "billing.readers", "billing.objects", "billing.projection"
_OWNERSHIP = f"{_PROJECTION}.ownership"
_ACCESS = f"{_PROJECTION}.subscription_access"
_PLANS = f"{_PROJECTION}.subscription_plans"
_PURCHASES = f"{_PROJECTION}.purchases"
_LINES = f"{_PROJECTION}.purchase_lines"
_ENDS = f"{_PROJECTION}.purchase_ends"
_INVOICES = f"{_PROJECTION}.invoices"
_REFUNDS = f"{_PROJECTION}.refunds"
_PLAN_GRANT = f"{_PROJECTION}.operator_grants:_plan_grant"
_GRANT_STATE = f"{_OBJECTS}.operator_grants:GrantState"
_EVERY_STATUS = frozenset(
    ("active", "trialing", "incomplete", "incomplete_expired", "unpaid", "paused", "canceled")
)

_ORDER = {
    "one-second": (Change(f"{_OBJECTS}.ordering:_links", _no),),
    "ended-is-final": (  # three rules in a row hold this one: any of them alone saves the end
        Change(f"{_OBJECTS}.ordering:_links", _no),
        Change(f"{_OBJECTS}.ordering:_is_final", _no),
        Change(f"{_READERS}.reader:_rank", _result(_deleted_first)),
    ),
    "cut-list": (
        Change(f"{_OBJECTS}.subscriptions:_laid_over", _constant(lambda _, cut: tuple(cut))),
    ),
    "twins-are-harmless": (
        Change(f"{_OBJECTS}.charges:_captured", _times_stated),
        Change(f"{_OBJECTS}.payment_intents:_collected", _times_stated),
    ),
    "noise-is-ignored": (Change(f"{_READERS}.registry:_ignored", _constant(_refuse)),),
    "old-shapes": (
        Change(f"{_READERS}.invoices:_payments", _always([])),
        Change(f"{_READERS}.subscriptions:_period_time", _always(None)),
        Change(f"{_READERS}.invoices:_subscription", _always(None)),
    ),
    "realms-apart": (Change(f"{_PROJECTION}.party:realm_in", _always(Realm("test"))),),
}
_USER = {
    "person-links-object": (Change(f"{_OWNERSHIP}:_newest_link", _always(None)),),
    "object-names-user": (Change(f"{_OWNERSHIP}:Ownership._named_by", _result(_without_metadata)),),
    "session-names-users-subscription": (
        Change(f"{_OWNERSHIP}:Ownership._resolve", _given(_without_checkouts)),
    ),
    "person-links-customer": (Change(f"{_OWNERSHIP}:Ownership._users_of", _given(_forget_links)),),
    "customer-names-user": (Change(f"{_OWNERSHIP}:Ownership._own_metadata", _always(())),),
    "deleted-customer-ends-nothing": (Change(f"{_OBJECTS}.store:_FOLDS", _forget_the_deleted),),
    "reference-names-user": (
        Change(f"{_OBJECTS}.user_statements:UserStatements.by_client_reference", _always(())),
    ),
    "metadata-before-reference": (
        Change(f"{_OWNERSHIP}:Ownership._named_by", _result(_reversed_words)),
    ),
    "reference-is-not-read": (Change(f"{_OWNERSHIP}:Ownership.__init__", _given(_both_words)),),
    "first-of-metadata-keys": (
        Change(
            f"{_OBJECTS}.user_statements:user_in",
            _given(
                lambda metadata, identity: (
                    metadata,
                    replace(identity, metadata_keys=identity.metadata_keys[::-1]),
                )
            ),
        ),
    ),
    "first-named-user": (Change(f"{_OWNERSHIP}:CustomerUsers.named_for", _always(None)),),
    "second-user-waits": (
        Change(
            f"{_OWNERSHIP}:CustomerUsers.named_for",
            _constant(lambda users, _: users.named_first[0].user_id if users.named_first else None),
        ),
    ),
    "payment-link-speaks-for-itself": (
        Change(
            f"{_OWNERSHIP}:Ownership._add_session",
            _given(
                lambda ownership, under, session: (
                    ownership,
                    under,
                    replace(session, by_payment_link=False),
                )
            ),
        ),
    ),
    "copies-name-user": (
        Change(f"{_OBJECTS}.user_statements:UserStatements.by_copy", _always(())),
    ),
    "clearing-is-no-statement": (Change(f"{_OBJECTS}.user_statements:_runs", _cleared),),
    "object-names-another-later": (Change(f"{_OWNERSHIP}:_newest", _constant(_oldest_first)),),
    "unknown-user-waits": (
        Change(
            f"{_PROJECTION}.party:_project_realm",
            _result(lambda rows: replace(rows, waiting=False)),
        ),
    ),
    "customer-moves": (Change(f"{_OWNERSHIP}:_moves", _always(())),),
    "move-leaves-others": (
        Change(f"{_OWNERSHIP}:CustomerUsers.moved", _constant(_moved_whatever_it_was)),
    ),
}
_SUBSCRIPTIONS = {
    "status-grants": (Change(f"{_ACCESS}:SUBSCRIPTION_GRANTS", _constant(frozenset())),),
    "status-denies": (Change(f"{_ACCESS}:SUBSCRIPTION_GRANTS", _constant(_EVERY_STATUS)),),
    "grace": (
        Change(
            f"{_ACCESS}:_of_grace",
            _given(lambda name, plan, *rest: (name, replace(plan, grace_days=0), *rest)),
        ),
    ),
    "grace-prolongs-what-was-paid": (
        Change(
            f"{_ACCESS}:_prolonged",
            _constant(lambda snapshot, plans: list(plans[snapshot.present_run].held)),
        ),
    ),
    "collection-paused": (Change(f"{_ACCESS}:_paused", _always(None)),),
    "cancel-at": (Change(f"{_ACCESS}:_ends", _no_cancel_at),),
    "cancel-at-period-end": (Change(f"{_ACCESS}:latest_period", _always(None)),),
    "test-clock": (Change(f"{_PROJECTION}.clocks:_customers_with_clock", _always(frozenset())),),
    "session-stands-in": (
        Change(f"{_PROJECTION}.subscriptions:PROVISIONAL_ACCESS", _constant(timedelta())),
    ),
    "lines-of-session-that-stands-in": (
        Change(f"{_PROJECTION}.subscription_checkouts:lines_begun", _always([])),
    ),
    "money-back-of-subscription": (
        Change(f"{_PROJECTION}.subscriptions:end_by_policy", _always(None)),
    ),
    "named-by-price": (Change(f"{_OBJECTS}.subscriptions:_sold_item", _unnamed(0)),),
    "named-by-lookup-key": (
        Change(f"{_OBJECTS}.subscriptions:_sold_item", _unnamed(1)),
        Change(f"{_OBJECTS}.subscriptions:_note_keys", _always(None)),
    ),
    "lookup-key-remembered": (Change(f"{_OBJECTS}.subscriptions:_note_keys", _always(None)),),
    "named-by-product": (Change(f"{_OBJECTS}.subscriptions:_sold_item", _unnamed(-1)),),
    "nothing-on-purpose": (
        Change(
            "billing.catalogue:_CatalogueReader.sold",
            _result(lambda sold: (frozenset(), sold[1])),
        ),
    ),
    "unknown-price-keeps": (
        Change(f"{_PLANS}:_meanings", _given(lambda items, lookup, *_: (items, lookup, {}, ()))),
    ),
    "unknown-price-ends": (
        Change(
            "billing.catalogue:_CatalogueReader.policy",
            _result(lambda policy: replace(policy, unknown_price=PolicyAction.KEEP)),
        ),
    ),
    "plan-code-of-subscription": (
        Change(
            f"{_PLANS}:_by_metadata",
            _given(lambda run, lookup: (run._replace(plan_code=None), lookup)),
        ),
    ),
    "unsold-price-is-named": (
        Change(
            f"{_PROJECTION}.party:_project_realm",
            _result(lambda rows: replace(rows, without_grant={})),
        ),
    ),
    "former-plan-grants-nothing": (
        Change(f"{_PROJECTION}.plan_lookup:PlanLookup.plan_by_names", _or_former_plan),
        Change(
            f"{_LINES}:sold_plan", _result(lambda sold: SoldPlan(sold.plan or sold.former, None))
        ),
    ),
}
_BOUGHT = {
    "session-speaks": (
        Change(
            f"{_PURCHASES}:_granted_to_checkout",
            _given(lambda session, evidence: (replace(session, granted=None), evidence)),
        ),
    ),
    "payment-decides": (
        Change(f"{_PURCHASES}:_granted_to_checkout", _constant(lambda session, _: session.granted)),
    ),
    "session-names-plan": (Change(f"{_OBJECTS}.checkouts:_stated", _always(())),),
    "unknown-name-is-skipped": (
        Change(
            f"{_LINES}:first_known",
            _given(lambda references, lookup: (tuple(references)[:1], lookup)),
        ),
    ),
    "former-name-ends-search": (
        Change(
            f"{_PROJECTION}.sold_plans:SoldPlan.is_known",
            _constant(property(lambda sold: bool(sold.plan))),
        ),
    ),
    "invoice-line": (Change(f"{_PURCHASES}:lines_of_invoice", _always(())),),
    "line-of-subscription-invoice": (
        Change(
            f"{_PURCHASES}:lines_of_invoice",
            _given(lambda lines, sub, plans: ((), None, plans) if sub else (lines, sub, plans)),
        ),
    ),
    "setup-fee-is-part": (
        Change(f"{_LINES}:_bought", _given(lambda line, _, plans: (line, set(), plans))),
    ),
    "proration-is-no-purchase": (
        Change(f"{_LINES}:may_buy", _also_prorations),
        Change(f"{_PURCHASES}:may_buy", _also_prorations),
        Change(
            f"{_LINES}:_bought",
            _given(lambda line, of, plans: (line, set() if line.proration else of, plans)),
        ),
    ),
    "metadata-names-plan": (Change(f"{_PURCHASES}:_Evidence.stated", _always(())),),
    "invoice-of-session-speaks": (Change(f"{_PURCHASES}:_match_of", _always(None)),),
    "bare-payment-names-plan": (Change(f"{_PURCHASES}:_by_payment", _always(None)),),
    "intent-of-invoice-waits": (Change(f"{_PURCHASES}:_names_invoice", _no),),
    "bare-intent-beside-subscription": (Change(f"{_PURCHASES}:_stands_for", _no),),
    "quantity-counts": (
        Change(f"{_LINES}:_bought", _result(lambda line: line and replace(line, quantity=1))),
    ),
    "lasts-days": (Change(f"{_ENDS}:_after", _always(None)),),
    "passes-follow": (Change(f"{_PROJECTION}.purchase_access:own_ends", _one_by_one),),
    "line-period-ends": (Change(f"{_LINES}:_period_end", _always(None)),),
}
_MONEY = {
    "one-payment": (Change(f"{_INVOICES}:identities", _always({})),),
    "dated-by-its-own-second": (
        Change(
            f"{_OBJECTS}.charges:_captured",
            _given(lambda currency, done, _: (currency, done, None)),
        ),
    ),
    "order-reference": (Change(f"{_INVOICES}:_referred_to", _always(())),),
    "inferred-pair": (Change(f"{_INVOICES}:nearest_pairs", _always([])),),
    "invoice-stands-for-money": (
        Change(f"{_INVOICES}:_uncovered", _uncovered_of(lambda match: match.invoice is None)),
    ),
    "session-stands-for-money": (
        Change(f"{_INVOICES}:_uncovered", _uncovered_of(lambda match: match.invoice is not None)),
    ),
    "invoice-of-several-payments": (
        Change(
            f"{_INVOICES}:_covered",
            _given(lambda matched, match: (matched, replace(match, payments=match.payments[:1]))),
        ),
    ),
    "zero-invoice-is-no-payment": (Change(f"{_INVOICES}:_uncovered", _with_zero_invoices),),
    "charge-has-its-intents-customer": (
        Change(f"{_OWNERSHIP}:_customer_in", _given(lambda described: (tuple(described)[:1],))),
    ),
    "released-is-no-refund": (Change(f"{_REFUNDS}:_released", _always(0)),),
    "returned-debit": (Change(f"{_PROJECTION}.payments:returned_at", _always(None)),),
    "refund": (Change(f"{_INVOICES}:refunded_amount", _always(0)),),
    "refund-undone": (
        Change(f"{_REFUNDS}:_not_given_back", _always(0)),
        Change(f"{_REFUNDS}:_succeeded", _constant(lambda payment: list(payment.refunds))),
    ),
    "credit-out-of-band": (Change(f"{_INVOICES}:_add_out_of_band", _always(None)),),
}
_MONEY_BACK = {
    **{
        way.replace("_", "-"): (
            Change(f"{_PROJECTION}.purchase_access:ends_of", _with_inverted(way)),
        )
        for way in ("refund_full", "refund_partial", "dispute_open", "dispute_lost")
    },
    "dispute-won": (
        Change(
            f"{_OBJECTS}.charges:DISPUTES_WITHOUT_CONSEQUENCE",
            lambda without: without - {DISPUTE_WON},
        ),
    ),
    "part-of-dispute-lost": (
        Change(f"{_INVOICES}:MatchedPayments.lost_in_disputes", _constant(_whole_payments)),
    ),
    "dispute-of-no-consequence": (Change(f"{_OBJECTS}.store:_FOLDS", _inquiries_are_lost),),
    "line-credited": (Change(f"{_ENDS}:_credited_lines", _always(())),),
    "note-without-lines": (
        Change(f"{_ENDS}:_names_lines", _yes),
        Change(f"{_ENDS}:_reach_the_total", _no),
        Change(f"{_ENDS}:CreditNotes.without_refund", _always(0)),
    ),
    "note-voided": (Change(f"{_OBJECTS}.credit_notes:_is_void", _no),),
    "features-listed": (Change(f"{_PROJECTION}.party:project_summaries", _always(None)),),
    "features-cut": (Change(f"{_OBJECTS}.store:_FOLDS", _ignorant_of_cuts),),
}

_GIVEN = {
    "operator-grant": (Change(f"{_PROJECTION}.party:project_operator_grants", _always(None)),),
    "grant-follows-plan": (Change(_PLAN_GRANT, _given(_without_plan)),),
    "grant-of-lost-plan": (Change(_PLAN_GRANT, _given(_empty_if_lost)),),
    "grant-of-features": (Change(_PLAN_GRANT, _given(_empty_if_of_features)),),
    "grant-counts-in-every-realm": (
        Change(f"{_PROJECTION}.party:realm_in", _result(_in_test_mode)),
    ),
    "grant-begins-later": (Change(f"{_GRANT_STATE}.holds_at", _holds_until_its_end),),
    "grant-ends-by-itself": (Change(f"{_OBJECTS}.store:_FOLDS", _grants_without_an_end),),
    "grant-ended-by-person": (Change(f"{_OBJECTS}.store:_FOLDS", _grants_that_no_one_ends),),
    "newest-link-counts": (Change(f"{_OWNERSHIP}:_newest_link", _oldest_link),),
    "link-taken-back": (Change(f"{_OBJECTS}.store:_FOLDS", _links_that_never_end),),
}

SWITCHES: Mapping[str, tuple[Change, ...]] = {
    **_ORDER,
    **_USER,
    **_SUBSCRIPTIONS,
    **_BOUGHT,
    **_MONEY,
    **_MONEY_BACK,
    **_GIVEN,
}
"""The changes that switch each rule off, by the rule's name in ``RULES``."""
