"""Grants of one-time purchases: by lines, names or bare payments, until they end or go back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ops.samples.scenario import DAY
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import (
    Charge,
    CreditNote,
    Intent,
    Invoice,
    InvoiceLine,
    Metadata,
    Session,
    Subscription,
)
from ops.samples.worlds.rendering import SHOWN
from ops.samples.worlds.truth.evidence import AmbiguousWorldError, Evidence, shown_items
from ops.samples.worlds.truth.money import (
    charges_of,
    disputes_of,
    given_out_of_band,
    is_open,
    is_returned,
    known_payments,
    paid_at,
    paired,
    received,
    refunded,
)
from ops.samples.worlds.truth.owners import (
    Whose,
    of_invoice,
    of_payment,
    of_subscription,
    owner,
)
from ops.samples.worlds.truth.shop import TrueGrant
from ops.samples.worlds.truth.subscriptions import ENDED, named_plan, plans_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One line that was bought and paid; ``lasts`` is the end of its own period."""

    source: str
    plan: str
    quantity: int
    at: int
    whose: Whose
    lasts: int | None = None
    gone: bool = False
    aliases: frozenset[str] = frozenset()
    line: str = ""


def purchase_grants(evidence: Evidence) -> list[TrueGrant]:
    """Return what every purchase grants at the end."""
    kept: dict[tuple[str, str, str], list[Purchase]] = {}
    for purchase in _purchases(evidence):
        if purchase.gone:
            continue
        user = owner(evidence, purchase.whose)
        if user is not None:
            kept.setdefault((user, purchase.source, purchase.plan), []).append(purchase)
    ends = _ends(evidence, kept)
    grants = []
    for (user, source, plan), bought in kept.items():
        now = evidence.clock(bought[0].whose.customer)
        lasting = [each for each in bought if ends[id(each)] is None or ends[id(each)] > now]  # type: ignore[operator]
        if not lasting:
            continue
        quantity = sum(each.quantity for each in lasting)
        if quantity > 1 and evidence.shop.per_seat(plan):
            evidence.use("quantity-counts")
        open_end = any(ends[id(each)] is None for each in lasting)
        grants.append(
            TrueGrant(
                user=user,
                source=source,
                plan=plan,
                features=evidence.shop.features(plan, quantity),
                per_seat=evidence.shop.per_seat(plan),
                expires_at=None if open_end else max(ends[id(each)] or 0 for each in lasting),
                aliases=bought[0].aliases,
            )
        )
    return grants


def bought_lines(evidence: Evidence) -> dict[str, tuple[str, int]]:
    """Return plan and quantity of every line that was bought, by its invoice item."""
    kept = [each for each in _purchases(evidence) if each.line and not each.gone]
    return {each.line: (each.plan, each.quantity) for each in kept}


def unsold_prices(evidence: Evidence) -> Iterator[str]:
    """Yield the prices of paid lines, bare payments and running items that no plan ever had."""
    for invoice in evidence.newest(Invoice).values():
        known = evidence.shop.first_known(invoice.metadata, None)[1] < len(
            {"price_id", "plan_code"} & set(invoice.metadata)
        )
        if invoice.status == "paid" and not (known or evidence.account.ancient):
            for line in invoice.lines:
                if line.amount > 0 and not line.proration and not line.item:
                    yield from _unsold(evidence, line.offer)
    for held in evidence.newest(Subscription).values():
        if held.status not in ENDED and "plan_code" not in held.metadata:
            history = shown_items(evidence, held.id)
            for item in held.items[:SHOWN]:
                if not named_plan(evidence, history, len(history) - 1, item):
                    yield from _unsold(evidence, item.offer)


def _unsold(evidence: Evidence, offer: StripePrice) -> Iterator[str]:
    shop = evidence.shop
    names = (offer.price, offer.lookup_key, offer.product)
    if not shop.is_nothing(offer) and not any(shop.plan_or_former(each)[1] for each in names):
        evidence.use("unsold-price-is-named")
        yield offer.price


def _ends(
    evidence: Evidence, kept: dict[tuple[str, str, str], list[Purchase]]
) -> dict[int, int | None]:
    """Return the end of every purchase; passes of one plan and user follow one another."""
    ends: dict[int, int | None] = {}
    passes: dict[tuple[str, str], list[Purchase]] = {}
    for (user, _, plan), bought in kept.items():
        for each in bought:
            ends[id(each)] = each.lasts
            if each.lasts is not None:
                evidence.use("line-period-ends")
            if evidence.shop.lasts_days(plan) is not None:
                passes.setdefault((user, plan), []).append(each)
    for (_, plan), bought in passes.items():
        evidence.use("lasts-days")
        until = 0
        for each in sorted(bought, key=lambda one: one.at):
            if until > each.at:
                evidence.use("passes-follow")
            times = 1 if evidence.shop.per_seat(plan) else each.quantity
            until = max(until, each.at) + times * (evidence.shop.lasts_days(plan) or 0) * DAY
            ends[id(each)] = until
    return ends


def _purchases(evidence: Evidence) -> Iterator[Purchase]:
    for invoice in evidence.newest(Invoice).values():
        yield from _of_invoice(evidence, invoice)
    for session in evidence.newest(Session).values():
        if session.mode == "payment":
            yield from _of_session(evidence, session)
    for ref in known_payments(evidence):
        yield from _of_bare_payment(evidence, ref)


def _of_invoice(evidence: Evidence, invoice: Invoice) -> Iterator[Purchase]:
    if invoice.status != "paid":
        return
    refs = _payments(evidence, invoice)
    if any(is_returned(evidence, ref) for ref in refs):
        evidence.use("payment-decides")
        return
    bought = _paid_by(evidence, invoice, refs)
    lines = list(_bought_lines(evidence, invoice))
    for line, plan in lines:
        evidence.use("line-of-subscription-invoice" if invoice.subscription else "invoice-line")
        lasts = line.end - line.start >= DAY and not invoice.subscription
        yield replace(
            bought,
            plan=plan,
            quantity=line.quantity,
            lasts=line.end if lasts else None,
            gone=bought.gone or _credit_ends(evidence, line),
            line=line.invoice_item or line.id,
        )
    if lines or invoice.subscription or _sessions_of(evidence, invoice.id):
        return
    named = _named(evidence, invoice.metadata, None)
    if named is None:
        return
    if _line_names_former(evidence, invoice):
        raise AmbiguousWorldError("a former line and a name in metadata")
    if any(line.subscription for line in invoice.lines):
        raise AmbiguousWorldError("a name in metadata beside a subscription's line")
    if any(_credited(evidence, line.id) for line in invoice.lines):
        raise AmbiguousWorldError("a credited line of what metadata names")
    evidence.use("metadata-names-plan")
    yield replace(bought, plan=named)


def _paid_by(evidence: Evidence, invoice: Invoice, refs: list[str]) -> Purchase:
    """Return a purchase by this invoice, of no plan yet."""
    linked = [ref for ref in evidence.payments_of(invoice.id) if received(evidence, ref)]
    if not linked and not invoice.out_of_band and invoice.amount_paid:
        linked = evidence.payments_of(invoice.id)
    if len(linked) > 1:
        evidence.use("invoice-of-several-payments")
    source = linked[0] if linked else invoice.id
    return Purchase(
        source=source,
        plan="",
        quantity=1,
        at=next((paid_at(evidence, ref) for ref in linked), None) or invoice.paid_at or 0,
        whose=of_subscription(evidence, invoice.subscription, [source, invoice.id])
        if invoice.subscription
        else of_invoice(evidence, invoice, source),
        gone=_money_is_gone(evidence, refs, invoice),
        aliases=frozenset({invoice.id, *evidence.payments_of(invoice.id), *refs} - {source}),
    )


def _line_names_former(evidence: Evidence, invoice: Invoice) -> bool:
    if evidence.account.ancient:
        return False
    return any(evidence.shop.plan_or_former(line.offer.price)[1] for line in invoice.lines)


def _payments(evidence: Evidence, invoice: Invoice) -> list[str]:
    linked = evidence.payments_of(invoice.id)
    pair = None if linked else paired(evidence, invoice)
    known = set(known_payments(evidence))
    return [pair] if pair else [ref for ref in linked if ref in known]


def _sessions_of(evidence: Evidence, invoice_id: str) -> list[Session]:
    return [each for each in evidence.newest(Session).values() if each.invoice == invoice_id]


def _bought_lines(evidence: Evidence, invoice: Invoice) -> Iterator[tuple[InvoiceLine, str]]:
    for line in invoice.lines:
        if line.proration or line.item:
            if line.proration and not invoice.subscription:
                evidence.use("proration-is-no-purchase")
            continue
        amount = line.amount - _credited(evidence, line.id)
        if amount < line.amount:
            evidence.use("line-credited")
        if amount <= 0:
            continue
        if plan := _plan_of_line(evidence, line, line.subscription or invoice.subscription):
            yield line, plan


def _plan_of_line(evidence: Evidence, line: InvoiceLine, subscription: str | None) -> str | None:
    if evidence.account.ancient and line.offer.interval is None:
        return None  # invoice items had a description, and no price
    plan = evidence.shop.plan(line.offer.price) or evidence.shop.plan(line.offer.lookup_key)
    by_product = evidence.shop.plan(line.offer.product)
    if subscription is None:
        return plan or by_product
    if plan is None and by_product:
        evidence.use("setup-fee-is-part")
    elif plan in _plans_held_by(evidence, subscription):
        evidence.use("setup-fee-is-part")
        return None
    return plan


def _credit_ends(evidence: Evidence, line: InvoiceLine) -> bool:
    """Return whether policy ends a line of which a part was credited."""
    part = 0 < _credited(evidence, line.id) < line.amount
    return part and evidence.shop.policy("refund_partial") == "end"


def _credited(evidence: Evidence, line_id: str) -> int:
    notes = evidence.newest(CreditNote).values()
    if any(each.status == "void" and line_id in dict(each.lines) for each in notes):
        evidence.use("note-voided")
    issued = [each for each in notes if each.status == "issued"]
    return sum(dict(each.lines).get(line_id, 0) for each in issued)


def _plans_held_by(evidence: Evidence, subscription: str) -> set[str]:
    history = shown_items(evidence, subscription)
    if not history:
        raise AmbiguousWorldError("a subscription's line without the subscription")
    return {plan for number in range(len(history)) for plan in plans_at(evidence, history, number)}


def _named(evidence: Evidence, metadata: Metadata, link: str | None) -> str | None:
    """Return the plan of the first name that this or an earlier catalogue knows."""
    plan, before = evidence.shop.first_known(metadata, link)
    names = [metadata.get("price_id"), metadata.get("plan_code"), link]
    given = len([name for name in names if name is not None])
    if before and before < given:
        evidence.use("unknown-name-is-skipped")
    if plan is None and before < given:
        evidence.use("former-name-ends-search")
    return plan


def _of_session(evidence: Evidence, session: Session) -> Iterator[Purchase]:
    if session.invoice and evidence.one(Invoice, session.invoice):
        invoice = evidence.one(Invoice, session.invoice)
        if invoice and list(_bought_lines(evidence, invoice)):
            evidence.use("invoice-of-session-speaks")
            return
    ref = session.intent
    is_known = bool(ref and (charges_of(evidence, ref) or evidence.one(Intent, ref)))
    if ref and is_known:
        paid = received(evidence, ref) > 0
        if paid != (session.payment_status == "paid"):
            evidence.use("payment-decides")
    else:
        paid = session.payment_status in ("paid", "no_payment_required")
        if paid:
            evidence.use("session-speaks")
    if not paid or session.status == "expired":
        return
    plan = _named(evidence, session.metadata, session.payment_link)
    if plan is None:
        return
    evidence.use("session-names-plan")
    at = (paid_at(evidence, ref) if ref else None) or _stated_paid_at(evidence, session)
    source = ref or session.id
    yield Purchase(
        source=source,
        plan=plan,
        quantity=1,
        at=at,
        whose=of_payment(evidence, source, at) if ref else _of_free_session(session),
        gone=_money_is_gone(evidence, [ref] if ref else [], None),
    )


def _stated_paid_at(evidence: Evidence, session: Session) -> int:
    """Return the second of the money that the session's invoice states, else the session."""
    invoice = evidence.one(Invoice, session.invoice)
    stated = invoice.paid_at if invoice else None
    return stated or evidence.said[session.id][0].at


def _of_free_session(session: Session) -> Whose:
    return Whose(
        linkable=((session.id,),),
        stating=(session,),
        customer=session.customer,
        at=session.created,
    )


def _of_bare_payment(evidence: Evidence, ref: str) -> Iterator[Purchase]:
    """Yield what an intent, or a charge without one, bought by its own metadata."""
    intent = evidence.one(Intent, ref)
    record: Intent | Charge | None = intent or evidence.one(Charge, ref)
    if record is None or not received(evidence, ref):
        return
    if any(each.intent == ref for each in evidence.newest(Session).values()):
        return
    plan = _named(evidence, record.metadata, None)
    if plan is None:
        return
    if record.invoice or evidence.invoices_of(ref):
        evidence.use("intent-of-invoice-waits")
        return
    at = paid_at(evidence, ref) or 0
    if _subscribed_to(evidence, record.customer, plan, at):
        evidence.use("bare-intent-beside-subscription")
        return
    evidence.use("bare-payment-names-plan")
    yield Purchase(
        source=ref,
        plan=plan,
        quantity=1,
        at=at,
        whose=of_payment(evidence, ref, at),
        gone=_money_is_gone(evidence, [ref], None),
    )


def _subscribed_to(evidence: Evidence, customer: str | None, plan: str, at: int) -> bool:
    """Return whether a subscription of the customer was on the plan at that moment."""
    for held in evidence.newest(Subscription).values():
        if held.customer != customer or customer is None:
            continue
        history = shown_items(evidence, held.id)
        before = [number for number, (seen, _) in enumerate(history) if seen <= at]
        now_on = [plan in plans_at(evidence, history, number) for number in range(len(history))]
        if not before:
            if any(now_on) and held.created <= at:
                raise AmbiguousWorldError("a subscription that was heard of later")
            continue
        _, then = history[before[-1]]
        if history[before[-1]][0] == at:
            raise AmbiguousWorldError("paid in the second of a change")
        if now_on[before[-1]] and then.status not in ENDED:
            if then.status == "incomplete":
                raise AmbiguousWorldError("an incomplete subscription beside a bare intent")
            return True
    return False


def _money_is_gone(evidence: Evidence, refs: Iterable[str], invoice: Invoice | None) -> bool:
    """Return whether policy ends a purchase by what became of its money."""
    refs = list(refs)
    got = sum(received(evidence, ref) for ref in refs)
    back = sum(refunded(evidence, ref) for ref in refs)
    if invoice is not None:
        got = max(got, invoice.amount_paid)  # of which payments may not have been heard
        back = max(back, min(got, given_out_of_band(evidence, invoice.id)))
    disputes = [each for ref in refs for each in disputes_of(evidence, ref)]
    lost = sum(each.amount for each in disputes if each.status == "lost")
    _note_disputes(evidence, [each.status for each in disputes])
    credited = _credited_without_lines(evidence, invoice, back)
    policy = evidence.shop.policy
    mixed = bool(lost and back and back + lost >= got)
    if mixed and policy("refund_full") != policy("dispute_lost"):
        raise AmbiguousWorldError("gone by a refund and a dispute of two policies")
    if any(map(is_open, disputes)) and policy("dispute_open") == "end":
        return True
    if credited == "full" or (got and back >= got):
        evidence.use("refund-full")
        return policy("refund_full") == "end"
    if lost and lost >= got:
        evidence.use("dispute-lost")
        return policy("dispute_lost") == "end"
    if not (back or lost or credited):
        return False
    if got and back + lost >= got:
        return policy("refund_full") == "end"
    if lost and policy("dispute_lost") == "keep" and policy("refund_partial") == "end":
        raise AmbiguousWorldError("a part lost where lost disputes keep and partial refunds end")
    evidence.use("part-of-dispute-lost" if lost else "refund-partial")
    return policy("refund_partial") == "end"


def _note_disputes(evidence: Evidence, statuses: list[str]) -> None:
    for status in statuses:
        if status.startswith("warning_") or status == "prevented":
            evidence.use("dispute-of-no-consequence")
        elif status == "won":
            evidence.use("dispute-won")
        elif status != "lost":
            evidence.use("dispute-open")


def _credited_without_lines(evidence: Evidence, invoice: Invoice | None, back: int) -> str | None:
    """Return ``full`` or ``part`` for credit notes that name no line of the invoice."""
    if invoice is None:
        return None
    notes = [
        each
        for each in evidence.newest(CreditNote).values()
        if each.invoice == invoice.id and each.status == "issued" and not each.lines
    ]
    if any(
        each.invoice == invoice.id and each.status == "void"
        for each in evidence.newest(CreditNote).values()
    ):
        evidence.use("note-voided")
    total = sum(each.amount for each in notes)
    if not total:
        return None
    evidence.use("note-without-lines")
    if total >= invoice.total:
        return "full"
    if total + back >= invoice.total:
        raise AmbiguousWorldError("a note and refunds that may be the same money")
    return "part"
