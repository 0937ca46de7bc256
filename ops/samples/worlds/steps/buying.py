"""Steps of payments that no subscription asks for, and of money that goes back."""

from collections.abc import Sequence
from dataclasses import replace

from ops.samples.scenario import DAY
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.records import (
    Charge,
    CreditNote,
    Customer,
    Dispute,
    Intent,
    Invoice,
    InvoiceLine,
    InvoicePayment,
    Metadata,
    Refund,
    Session,
)
from ops.samples.worlds.steps.billing import bill, collect, finalize, refuse, settle
from ops.samples.worlds.steps.subscribing import Names


def check_out(
    account: StripeAccount,
    customer: Customer | None,
    amount: int,
    names: Names,
    *,
    capture: str = "automatic",
    copied: Metadata | None = None,
    lines: Sequence[InvoiceLine] = (),
) -> Session:
    """Buy something once; ``lines`` are those of an invoice that the session makes.

    ``capture`` is ``automatic``, ``manual``, ``delayed`` (a debit that is still under way), or
    ``free``.
    """
    at = account.wait(30)
    charge = None
    if capture != "free":
        intent = _intent(account, customer, amount, copied or {}, capture=capture)
        charge = _attempt(account, intent, capture)
    invoice = _invoice_of_session(account, customer, charge, lines) if lines else None
    status = {"automatic": "paid", "free": "no_payment_required"}.get(capture, "unpaid")
    session = Session(
        id=account.id("cs_test", 58),
        created=at,
        mode="payment",
        status="complete",
        payment_status=status,
        amount=amount if charge else 0,
        customer=customer.id if customer else None,
        reference=names.reference,
        metadata=names.metadata or {},
        intent=charge.intent if charge else None,
        invoice=invoice.id if invoice else None,
        payment_link=names.payment_link,
    )
    account.wait(1)
    return account.emit("checkout.session.completed", session)


def _intent(
    account: StripeAccount,
    customer: Customer | None,
    amount: int,
    metadata: Metadata,
    *,
    capture: str = "automatic",
    currency: str = "usd",
    invoice: str | None = None,
) -> Intent:
    intent = Intent(
        id=account.id("pi"),
        customer=customer.id if customer else None,
        created=account.at,
        status="requires_payment_method",
        amount=amount,
        currency=currency,
        capture_method="manual" if capture == "manual" else "automatic",
        metadata=metadata,
        invoice=invoice,
    )
    return account.emit("payment_intent.created", intent)


def _attempt(account: StripeAccount, intent: Intent, how: str) -> Charge:
    """Pay an intent: at once, authorised only, or by a debit under way."""
    account.wait(2)
    done = how == "automatic"
    charge = Charge(
        id=account.id("ch"),
        customer=intent.customer if account.random.random() < 1 - account.bare_charges else None,
        created=account.at,
        status="pending" if how == "delayed" else "succeeded",
        amount=intent.amount,
        currency=intent.currency,
        captured=how != "manual",
        amount_captured=intent.amount if done else 0,
        intent=intent.id,
        metadata=intent.metadata,
    )
    event = "payment_intent.succeeded"
    changes: dict[str, object] = {"status": "succeeded", "received": intent.amount}
    if how == "manual":
        event = "payment_intent.amount_capturable_updated"
        changes = {"status": "requires_capture", "capturable": intent.amount}
    elif how == "delayed":
        event, changes = "payment_intent.processing", {"status": "processing"}
    else:
        account.banked[intent.id] = [intent.amount, 0]
    account.emit("charge.pending" if how == "delayed" else "charge.succeeded", charge)
    account.change(event, intent, latest_charge=charge.id, **changes)
    return charge


def _invoice_of_session(
    account: StripeAccount,
    customer: Customer | None,
    charge: Charge | None,
    lines: Sequence[InvoiceLine],
) -> Invoice | None:
    if customer is None or charge is None or charge.intent is None:
        return None
    invoice = bill(account, customer, lines)
    invoice = account.keep(replace(invoice, intent=charge.intent, finalized_at=account.at))
    settled = settle(account, invoice, paid=charge.amount, charge=charge)
    link = InvoicePayment(
        id=account.id("inpay"),
        invoice=invoice.id,
        intent=charge.intent,
        amount=charge.amount,
        created=account.at,
    )
    account.emit("invoice_payment.paid", link)
    return settled


def capture_part(account: StripeAccount, intent: Intent, amounts: Sequence[int]) -> Charge:
    """Capture an authorised payment in one or several parts; the rest is released."""
    intent = account.get(Intent, intent.id)
    charge = account.get(Charge, intent.latest_charge)
    got = 0
    for amount in amounts[:-1]:
        got += amount
        account.wait(DAY // 2)
        charge = account.change("charge.updated", charge, captured=True, amount_captured=got)
        intent = account.change(
            "payment_intent.amount_capturable_updated",
            intent,
            received=got,
            capturable=intent.amount - got,
        )
    got += amounts[-1]
    account.wait(DAY // 2)
    charge = account.change(
        "charge.captured",
        charge,
        captured=True,
        amount_captured=got,
        released=intent.amount - got,
    )
    account.change(
        "payment_intent.succeeded", intent, status="succeeded", received=got, capturable=0
    )
    account.banked[intent.id] = [got, 0]
    return charge


def let_expire(account: StripeAccount, intent: Intent) -> None:
    """Cancel an authorised payment: all of it is released."""
    intent = account.get(Intent, intent.id)
    charge = account.get(Charge, intent.latest_charge)
    account.wait(DAY)
    account.change("charge.expired", charge, released=charge.amount)
    account.change("payment_intent.canceled", intent, status="canceled", capturable=0)


def settle_debit(account: StripeAccount, session: Session) -> Charge:
    """Let the money of a delayed payment arrive, days later."""
    intent = account.get(Intent, session.intent)
    charge = account.get(Charge, intent.latest_charge)
    account.wait(4 * DAY)
    charge = account.change(
        "charge.succeeded", charge, status="succeeded", amount_captured=charge.amount
    )
    account.change("payment_intent.succeeded", intent, status="succeeded", received=charge.amount)
    account.banked[intent.id] = [charge.amount, 0]
    account.change("checkout.session.async_payment_succeeded", session, payment_status="paid")
    return charge


def fail_debit(account: StripeAccount, session: Session) -> None:
    """Let a delayed payment fail."""
    intent = account.get(Intent, session.intent)
    account.wait(4 * DAY)
    _fail(account, intent)
    account.emit("checkout.session.async_payment_failed", session)


def return_debit(account: StripeAccount, charge: Charge) -> None:
    """Let the bank take back a debit that had succeeded."""
    account.wait(5 * DAY)
    _fail(account, account.get(Intent, charge.intent))
    account.banked[charge.intent or charge.id] = [0, 0]


def _fail(account: StripeAccount, intent: Intent) -> None:
    charge = account.get(Charge, intent.latest_charge)
    account.change("charge.failed", charge, status="failed", captured=False, amount_captured=0)
    account.change(
        "payment_intent.payment_failed",
        intent,
        status="requires_payment_method",
        received=0,
        failed_charge=charge.id,
    )


def expire(account: StripeAccount, customer: Customer, amount: int, names: Names) -> Session:
    """Let a session expire unpaid."""
    session = Session(
        id=account.id("cs_test", 58),
        created=account.at,
        mode="payment",
        status="expired",
        payment_status="unpaid",
        amount=amount,
        customer=customer.id,
        reference=names.reference,
        metadata=names.metadata or {},
    )
    account.wait(DAY)
    return account.emit("checkout.session.expired", session)


def set_up(account: StripeAccount, customer: Customer, names: Names) -> Session:
    """Complete a session of mode ``setup``, which sells nothing."""
    account.wait(30)
    session = Session(
        id=account.id("cs_test", 58),
        created=account.at,
        mode="setup",
        status="complete",
        payment_status="no_payment_required",
        amount=0,
        customer=customer.id,
        reference=names.reference,
        metadata=names.metadata or {},
    )
    return account.emit("checkout.session.completed", session)


def pay_directly(
    account: StripeAccount,
    customer: Customer | None,
    amount: int,
    metadata: Metadata,
    *,
    capture: str = "automatic",
    currency: str = "usd",
) -> Intent:
    """Pay by a payment intent of the application, without a session."""
    account.wait(30)
    intent = _intent(account, customer, amount, metadata, capture=capture, currency=currency)
    _attempt(account, intent, capture)
    return account.get(Intent, intent.id)


def charge_directly(
    account: StripeAccount, customer: Customer, amount: int, metadata: Metadata
) -> Charge:
    """Pay by the old Charges API, without an intent."""
    account.wait(30)
    charge = Charge(
        id=account.id("ch"),
        customer=customer.id,
        created=account.at,
        status="succeeded",
        amount=amount,
        amount_captured=amount,
        metadata=metadata,
    )
    account.banked[charge.id] = [amount, 0]
    return account.emit("charge.succeeded", charge)


def invoice_once(
    account: StripeAccount,
    customer: Customer,
    lines: Sequence[InvoiceLine],
    *,
    metadata: Metadata | None = None,
    how: str = "card",
    declines: int = 0,
    balance: int = 0,
) -> Invoice:
    """Bill something by a one-off invoice: ``card``, ``out_of_band``, ``open`` or ``void``."""
    account.wait(30)
    invoice = bill(account, customer, lines, metadata=metadata, balance=balance)
    invoice = finalize(account, invoice)
    for _ in range(declines if invoice.due else 0):
        refuse(account, invoice)
        account.wait(DAY)
    if how == "card":
        collect(account, invoice, takes=10)
    elif how == "out_of_band":
        account.wait(DAY)
        if invoice.intent:
            intent = account.get(Intent, invoice.intent)
            account.change("payment_intent.canceled", intent, status="canceled")
        settle(account, invoice, paid=invoice.due, out_of_band=True)
    elif how == "void":
        account.wait(DAY)
        account.emit("invoice.voided", replace(invoice, status="void"))
    return account.get(Invoice, invoice.id)


def invoice_in_parts(
    account: StripeAccount,
    customer: Customer,
    lines: Sequence[InvoiceLine],
    amounts: Sequence[int],
    *,
    metadata: Metadata | None = None,
) -> Invoice:
    """Pay a one-off invoice by several payment intents, a day apart."""
    account.wait(30)
    invoice = bill(account, customer, lines, metadata=metadata)
    invoice = account.emit(
        "invoice.finalized", replace(invoice, status="open", finalized_at=account.at)
    )
    for number, amount in enumerate(amounts, 1):
        account.wait(DAY)
        intent = _intent(account, customer, amount, {}, invoice=invoice.id)
        _attempt(account, intent, "automatic")
        link = InvoicePayment(
            id=account.id("inpay"),
            invoice=invoice.id,
            intent=intent.id,
            amount=amount,
            created=account.at,
        )
        account.emit("invoice_payment.paid", link)
        if number < len(amounts):
            invoice = account.change("invoice.updated", invoice, amount_paid=sum(amounts[:number]))
        else:
            invoice = settle(account, invoice, paid=sum(amounts))
    return invoice


def refund(
    account: StripeAccount, charge: Charge, amount: int, *, status: str = "succeeded"
) -> Refund:
    """Give back an amount; ``pending`` refunds are decided by ``end_refund``."""
    account.wait(DAY // 2)
    charge = account.get(Charge, charge.id)
    back = Refund(
        id=account.id("re"),
        charge=charge.id,
        intent=charge.intent,
        created=account.at,
        amount=amount,
        status=status,
        currency=charge.currency,
    )
    if status == "pending" and not account.release.knows("refund.created"):
        account.missed += 1  # its charge's running total is all that an event shows
    account.emit("refund.created", back)
    account.change("charge.refunded", charge, refunds=(*charge.refunds, back))
    if status == "succeeded":
        account.banked[charge.intent or charge.id][1] += amount
    return back


def end_refund(account: StripeAccount, back: Refund, status: str) -> Refund:
    """Decide a refund: ``succeeded``, ``failed`` or ``canceled``; a bank may fail any."""
    account.wait(2 * DAY)
    known = account.get(Refund, back.id)
    given = account.banked[back.intent or back.charge]
    given[1] += back.amount * ((status == "succeeded") - (known.status == "succeeded"))
    done = replace(known, status=status)
    event = "refund.failed" if status == "failed" else "refund.updated"
    account.emit(event, done, before=known)
    account.emit("charge.refund.updated", done, before=known)
    charge = account.get(Charge, back.charge)
    kept = [each for each in charge.refunds if each.id != back.id]
    if status == "succeeded":
        kept.append(done)
    account.keep(replace(charge, refunds=tuple(kept)))
    return done


def dispute(
    account: StripeAccount, charge: Charge, *, amount: int | None = None, status: str
) -> Dispute:
    """Dispute a charge, or a part of it."""
    account.wait(DAY)
    charge = account.get(Charge, charge.id)
    opened = Dispute(
        id=account.id("dp"),
        charge=charge.id,
        intent=charge.intent,
        created=account.at,
        amount=charge.amount_captured if amount is None else amount,
        status=status,
        currency=charge.currency,
    )
    account.emit("charge.dispute.created", opened)
    account.keep(replace(charge, dispute=opened.id))
    if status == "needs_response":
        account.wait(1)
        account.emit("charge.dispute.funds_withdrawn", opened)
    return opened


def end_dispute(account: StripeAccount, opened: Dispute, status: str) -> Dispute:
    """Decide a dispute, or decide it again after an appeal."""
    account.wait(10 * DAY)
    known = account.get(Dispute, opened.id)
    if known.status in ("won", "lost"):
        return account.change("charge.dispute.updated", known, status=status)
    closed = account.change("charge.dispute.closed", known, status=status)
    if status == "won":
        account.emit("charge.dispute.funds_reinstated", closed)
    return closed


def credit(
    account: StripeAccount,
    invoice: Invoice,
    *,
    lines: Sequence[tuple[str, int]] = (),
    amount: int = 0,
    back_to: str = "balance",
) -> CreditNote:
    """Credit lines of a paid invoice, or an amount; ``back_to`` balance, card or out_of_band."""
    invoice = account.get(Invoice, invoice.id)
    account.wait(DAY)
    total = sum(each for _, each in lines) or amount
    back = None
    if back_to == "card" and invoice.charge:
        back = refund(account, account.get(Charge, invoice.charge), total)
    note = CreditNote(
        id=account.id("cn"),
        invoice=invoice.id,
        customer=invoice.customer,
        created=account.at,
        amount=total,
        lines=tuple(lines),
        refund=back.id if back else None,
        refund_amount=total if back else 0,
        out_of_band=total if back_to == "out_of_band" else 0,
        balance=0 if back or back_to == "out_of_band" else total,
    )
    account.emit("credit_note.created", note)
    if back_to == "out_of_band":
        paid_by = invoice.id if invoice.out_of_band else invoice.intent or invoice.charge
        account.banked[paid_by or invoice.id][1] += total
    return note


def void_note(account: StripeAccount, note: CreditNote) -> CreditNote:
    """Take a credit note back."""
    voided_at = account.wait(60)
    return account.change("credit_note.voided", note, status="void", voided_at=voided_at)
