"""An invoice is a bill: money only as far as no payment linked to it covers what was paid.

A paid checkout without a payment intent speaks for the invoice it names, else for itself, until
payments cover it. A bill that nothing is linked to is paired with a payment of the same customer,
amount and currency that came within a minute of it, one to one.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billing.ids import CustomerId
from billing.objects.checkouts import Session
from billing.objects.invoices import Invoice
from billing.objects.observations import Received
from billing.objects.store import Objects
from billing.projection.payments import Payment, identities, payments_of, received

PAIRED_WITHIN = timedelta(seconds=60)
FIRST_BILL_WITHIN = timedelta(hours=1)
"""How long after a checkout the first invoice of its subscription may be paid."""

SHORTEST_REFERENCE = len("in_") + 8
"""A cut-off invoice id shorter than this could mean too many invoices."""


Billed = Mapping[str, Sequence[Received]]
"""What invoices say was paid for each subscription."""


@dataclass(slots=True, kw_only=True)
class Bill:
    """What was asked for and paid: an invoice, or a checkout that names no invoice.

    ``invoice`` is None while only others name it; ``payments`` are what it is linked to.
    """

    ref: str
    invoice: Invoice | None = None
    session: Session | None = None
    payments: list[str] = field(default_factory=list)
    inferred: bool = False

    @property
    def invoice_id(self) -> str | None:
        """The invoice that this is, unless a checkout speaks for itself."""
        return None if self.session and self.session.id == self.ref else self.ref

    @property
    def subscription(self) -> str | None:
        """The subscription that is billed."""
        if self.invoice and self.invoice.subscription:
            return self.invoice.subscription
        return self.session.subscription if self.session else None

    @property
    def customer_id(self) -> CustomerId | None:
        """Whom the bill is made out to."""
        if self.invoice and self.invoice.customer_id:
            return self.invoice.customer_id
        return self.session.customer_id if self.session else None

    @property
    def paid(self) -> Received | None:
        """What the invoice says was paid; before it says so, what the checkout says."""
        if self.invoice and self.invoice.money:
            return self.invoice.money
        return self.session.money if self.session else None


@dataclass(slots=True, kw_only=True)
class Books:
    """Payments, bills, what of each bill stays uncovered, and which of them belong together."""

    payments: Mapping[str, Payment]
    came_in: Mapping[str, Received]
    bills: dict[str, Bill]
    bills_of: dict[str, list[Bill]] = field(default_factory=dict)
    """The bills that each payment is linked to, in the order of their ids."""
    uncovered: dict[str, Received] = field(default_factory=dict)

    def stands(self, ref: str) -> bool:
        """Whether a reference has a payment row: a payment, or what is uncovered of a bill."""
        return ref in self.uncovered or (ref in self.payments and self.payments[ref].is_known)

    def amount_of(self, ref: str) -> int:
        """What came in under a reference, 0 where nothing did."""
        money = self.came_in.get(ref) or self.uncovered.get(ref)
        return money.amount if money else 0


def keep_books(objects: Objects) -> Books:
    """Link what is linked, pair what is left, and find what remains of each bill."""
    identity = identities(objects)
    payments = payments_of(objects, identity)
    came_in = {ref: money for ref, each in payments.items() if (money := received(each))}
    books = Books(payments=payments, came_in=came_in, bills=_bills(objects))
    for invoice, ref in sorted(_links(objects, identity)):
        _bill(books.bills, invoice).payments.append(ref)
    billed = _first_bills(books)
    _pair(books, billed)
    for key in sorted(books.bills):
        for ref in books.bills[key].payments:
            books.bills_of.setdefault(ref, []).append(books.bills[key])
    books.uncovered = _uncovered(books, billed)
    return books


def _bills(objects: Objects) -> dict[str, Bill]:
    """Every invoice, and every paid checkout that names neither an invoice nor a payment."""
    bills = {key: Bill(ref=key, invoice=each) for key, each in objects.invoices.items()}
    for session in sorted(objects.sessions.values(), key=_speaks_last):
        if session.invoice:
            _bill(bills, session.invoice).session = session
        elif session.money and not session.payment_intent:
            bills[session.id] = Bill(ref=session.id, session=session)
    return bills


def _bill(bills: dict[str, Bill], ref: str) -> Bill:
    """The bill of that name, which is one as soon as anything names it."""
    if ref not in bills:
        bills[ref] = Bill(ref=ref)
    return bills[ref]


def _speaks_last(session: Session) -> tuple[bool, str]:
    return session.money is not None, session.id


def _links(objects: Objects, identity: Mapping[str, str]) -> set[tuple[str, str]]:
    """Every statement that a payment belongs to an invoice, whichever object makes it."""
    named = [*_named_together(objects), *_referred_to(objects)]
    return {(invoice, identity.get(ref, ref)) for invoice, ref in named if invoice and ref}


def _named_together(objects: Objects) -> list[tuple[str | None, str | None]]:
    named: list[tuple[str | None, str | None]] = [
        (invoice.id, ref) for invoice in objects.invoices.values() for ref in invoice.payment_refs
    ]
    shares = [each for each in objects.shares.values() if not each.canceled]
    named += [(share.invoice, share.payment_ref) for share in shares]
    named += [(each.invoice, each.payment_intent) for each in objects.sessions.values()]
    named += [(charge.invoice, charge.id) for charge in objects.charges.values()]
    named += [(intent.invoice, intent.id) for intent in objects.intents.values()]
    return named


def _referred_to(objects: Objects) -> Iterator[tuple[str, str]]:
    """The invoice whose id was cut off to an intent's reference, where it can be only one."""
    referring = [intent for intent in objects.intents.values() if intent.order_reference]
    known = sorted(objects.invoices) if referring else []
    for intent in referring:
        reference = intent.order_reference or ""
        if reference.startswith("in_") and len(reference) >= SHORTEST_REFERENCE:
            at = bisect_left(known, reference)
            meant = [key for key in known[at : at + 2] if key.startswith(reference)]
            if len(meant) == 1:
                yield meant[0], intent.id


def _pair(books: Books, billed: Billed) -> None:
    """Pair bills that nothing is linked to with payments that nothing else claims."""
    open_bills = [bill for bill in books.bills.values() if not bill.payments and bill.paid]
    if not open_bills:
        return
    claims: dict[str, list[Bill]] = defaultdict(list)
    for bill in books.bills.values():
        for ref in bill.payments:
            claims[ref].append(bill)
    free = [ref for ref in books.came_in if ref not in claims]
    invoices = [bill for bill in open_bills if bill.invoice_id]
    _match(books, invoices, [ref for ref in free if not books.payments[ref].sessions])
    _match(books, invoices, [ref for ref in free if books.payments[ref].sessions])
    taken = {ref for bill in invoices for ref in bill.payments}
    unknown = [ref for ref, bills in claims.items() if ref in books.came_in and _blank(bills)]
    spare = [ref for ref in (*free, *unknown) if ref not in taken]
    _match(books, [bill for bill in open_bills if _speaks_alone(bill, billed)], spare)


def _blank(bills: Iterable[Bill]) -> bool:
    """Whether nothing but their ids is known of the invoices that a payment names."""
    return not any(bill.invoice or bill.session for bill in bills)


def _speaks_alone(bill: Bill, billed: Billed) -> bool:
    if bill.invoice_id or not bill.paid:
        return False
    return not _billed_since(billed.get(bill.subscription or "", ()), bill.paid)


def _match(books: Books, bills: Iterable[Bill], refs: Iterable[str]) -> None:
    """One to one in the order of time, which pairs as many as can be paired."""
    pools: dict[tuple[str | None, int, str], list[tuple[datetime, str]]] = defaultdict(list)
    for ref in refs:
        came_in = books.came_in[ref]
        alike = (books.payments[ref].customer_id, came_in.amount, came_in.currency)
        pools[alike].append((came_in.at, ref))
    for pool in pools.values():
        pool.sort()
    due = [(money.at, bill.ref, bill, money) for bill in bills if (money := bill.paid)]
    for at, _, bill, money in sorted(due, key=lambda one: one[:2]):
        pool = pools.get((bill.customer_id, money.amount, money.currency), [])
        near = [one for one in pool if abs(one[0] - at) <= PAIRED_WITHIN]
        if near and bill.customer_id and not bill.payments:
            pool.remove(near[0])
            bill.payments.append(near[0][1])
            bill.inferred = True


def _uncovered(books: Books, billed: Billed) -> dict[str, Received]:
    found = {}
    for bill in books.bills.values():
        money = bill.paid
        if money:
            covered = _covered(books, bill)
            if bill.invoice_id is None:
                covered += _billed_since(billed.get(bill.subscription or "", ()), money)
            if money.amount > covered:
                found[bill.ref] = money._replace(amount=money.amount - covered)
    return found


def _first_bills(books: Books) -> Billed:
    """What was billed of subscriptions, which matters where a checkout speaks for itself."""
    if all(bill.invoice_id for bill in books.bills.values()):
        return {}
    billed: dict[str, list[Received]] = defaultdict(list)
    for bill in books.bills.values():
        if bill.invoice_id and bill.subscription:
            linked = [books.came_in[ref] for ref in bill.payments if ref in books.came_in]
            known = [*([bill.paid] if bill.paid else ()), *linked]
            if known:
                so_far = max(known[0].amount, sum(money.amount for money in linked))
                first_at = min(money.at for money in known)
                billed[bill.subscription].append(Received(so_far, known[0].currency, first_at))
    return billed


def _billed_since(bills: Iterable[Received], checkout: Received) -> int:
    """What the first invoice says of a subscription, the checkout need not say for itself."""
    return sum(bill.amount for bill in bills if bill.at <= checkout.at + FIRST_BILL_WITHIN)


def _covered(books: Books, bill: Bill) -> int:
    """What linked payments paid of a bill: by their shares in it, else with all they brought."""
    return sum(_covered_by(books, ref, bill) for ref in bill.payments)


def _covered_by(books: Books, ref: str, bill: Bill) -> int:
    if ref not in books.came_in:
        return 0
    shares = [share.money for share in books.payments[ref].shares if share.invoice == bill.ref]
    return sum(money.amount for money in shares if money) or books.came_in[ref].amount
