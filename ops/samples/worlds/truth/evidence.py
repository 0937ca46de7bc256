"""Everything that an endpoint heard, by object: all that the truth is allowed to know."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from ops.samples.api_shapes import Shape
from ops.samples.worlds.account import Heard, StripeAccount, UserLink
from ops.samples.worlds.records import (
    Charge,
    CreditNote,
    Customer,
    Intent,
    Invoice,
    InvoiceLine,
    InvoicePayment,
    Noise,
    Record,
    Refund,
    Session,
    Subscription,
)
from ops.samples.worlds.rendering import SHOWN
from ops.samples.worlds.truth.rules import RULES
from ops.samples.worlds.truth.shop import Shop

Kind = TypeVar("Kind", bound=Record)


class AmbiguousWorldError(Exception):
    """The rules leave the end of this world open, so it proves nothing."""


@dataclass(slots=True)
class Evidence:
    """Everything that was heard in one realm, the shop that reads it, and the rules it used."""

    account: StripeAccount
    shop: Shop
    now: int
    used: set[str] = field(default_factory=set)
    said: dict[str, list[Heard]] = field(default_factory=dict)
    links: set[tuple[str, str]] = field(default_factory=set)
    """Invoices and the payments that an event links to them."""

    def __post_init__(self) -> None:
        self.said = {}
        for heard in self.account.heard:
            self.said.setdefault(heard.record.id, []).append(heard)
        self.links = set(_links(self))
        _note_order(self)

    def use(self, rule: str) -> None:
        """Note that a rule decided something here."""
        if rule not in RULES:
            raise KeyError(rule)
        self.used.add(rule)

    def newest(self, kind: type[Kind]) -> dict[str, Kind]:
        """Return the last that was heard of each object of a kind."""
        return {
            key: heard[-1].record
            for key, heard in self.said.items()
            if isinstance(heard[-1].record, kind)
        }

    def one(self, kind: type[Kind], record_id: str | None) -> Kind | None:
        """Return the last that was heard of one object, None if nothing was."""
        heard = self.said.get(record_id or "")
        record = heard[-1].record if heard else None
        return record if isinstance(record, kind) else None

    def history(self, kind: type[Kind], record_id: str) -> list[tuple[int, Kind]]:
        """Return everything that was heard of one object, oldest first."""
        heard = self.said.get(record_id, ())
        return [(each.at, each.record) for each in heard if isinstance(each.record, kind)]

    def linked_user(self, object_id: str | None) -> UserLink | None:
        """Return the newest link of an object that a person stated and did not take back."""
        return next(iter(self.links_of([object_id])[::-1]), None)

    def links_of(self, object_ids: Iterable[str | None]) -> list[UserLink]:
        """Return the links of some objects that stand, the oldest first."""
        stated = [each for each in self.account.linked if each.object_id in set(object_ids)]
        if any(each.ended_at is not None for each in stated):
            self.use("link-taken-back")
        standing = [each for each in stated if each.ended_at is None]
        return sorted(standing, key=lambda each: each.at)

    def refunds(self) -> dict[str, Refund]:
        """Return the refunds heard of by their own events, or inside an old charge."""
        found: dict[str, Refund] = {}
        if self.account.ancient:
            for charge in self.newest(Charge).values():
                found |= {refund.id: refund for refund in charge.refunds}
        return found | self.newest(Refund)

    def clock(self, customer_id: str | None) -> int:
        """Return now for a customer, who may live on a test clock."""
        customer = self.one(Customer, customer_id)
        clocked = customer is not None and customer.test_clock is not None
        moments = [
            heard.at
            for said in self.said.values()
            for heard in said
            if isinstance(heard.record, (Subscription, Invoice))
            and heard.record.customer == customer_id
        ]
        clocked |= any(
            record.test_clock is not None
            for said in self.said.values()
            for record in [said[-1].record]
            if isinstance(record, (Subscription, Invoice)) and record.customer == customer_id
        )
        if not clocked or max(moments, default=0) <= self.now:
            return self.now
        self.use("test-clock")
        return max(moments)

    def payments_of(self, invoice_id: str) -> list[str]:
        """Return the payments that events link to an invoice."""
        return sorted(payment for invoice, payment in self.links if invoice == invoice_id)

    def invoices_of(self, payment: str) -> list[str]:
        """Return the invoices that events link to a payment."""
        return sorted(invoice for invoice, paid in self.links if paid == payment)


def _note_order(evidence: Evidence) -> None:
    """Note old shapes, and where an object's last second needs more than its time to be ordered."""
    if evidence.said and evidence.account.release.shape is not Shape.NEW:
        evidence.use("old-shapes")
    for said in evidence.said.values():
        if any(isinstance(heard.record, Noise) for heard in said):
            evidence.use("noise-is-ignored")
        if len({(heard.at, heard.type) for heard in said}) < len(said):
            evidence.use("twins-are-harmless")
        last = [heard for heard in said if heard.at == said[-1].at]
        if any(_meaning(heard.record) != _meaning(last[-1].record) for heard in last):
            ended = last[-1].type.endswith(".deleted")
            evidence.use("ended-is-final" if ended else "one-second")
            _refuse_several_orders([heard for heard in said if heard.at < last[0].at], last)


def _refuse_several_orders(earlier: Sequence[Heard], last: Sequence[Heard]) -> None:
    """Refuse a second whose changes undo to one another in several orders with several ends."""
    changes = [_change_of(heard) for heard in last if heard.before is not None]
    if not changes:
        return
    begins, ends = changes[0][0], _meaning(last[-1].record)
    known = [*earlier[-1:], *(heard for heard in last[:1] if heard.before is None)]
    if begins == ends and not any(_meaning(heard.record) == begins for heard in known):
        raise AmbiguousWorldError("changes of one second in a circle that begins nowhere")
    if any(change == twin and change[0] == ends != change[1] for change, twin in pairwise(changes)):
        raise AmbiguousWorldError("a twin that may be one more change of its second")


def _change_of(heard: Heard) -> tuple[Record | None, Record]:
    """Return what an event says was before, and what is."""
    return heard.before and _meaning(heard.before), _meaning(heard.record)


def _meaning(record: Record) -> Record:
    """Return a record without what means nothing."""
    if isinstance(record, Subscription):
        return replace(record, description=None, schedule=None)
    return record


def _links(evidence: Evidence) -> Iterator[tuple[str, str]]:
    shape = evidence.account.release.shape
    named = _named_invoices(evidence)
    for link in evidence.newest(InvoicePayment).values():
        yield link.invoice, link.intent
    for session in evidence.newest(Session).values():
        if session.invoice and session.intent:
            yield session.invoice, session.intent
    for said in evidence.said.values():
        for record in (heard.record for heard in said):
            if shape is not Shape.NEW:
                yield from _old_link(record)
            elif isinstance(record, Intent) and record.invoice and record.invoice in named:
                evidence.use("order-reference")
                yield record.invoice, record.id


def _old_link(record: Record) -> Iterator[tuple[str, str]]:
    if isinstance(record, Invoice):
        if record.intent:
            yield record.id, record.intent
        elif record.charge:
            yield record.id, record.charge
    elif isinstance(record, Intent) and record.invoice:
        yield record.invoice, record.id
    elif isinstance(record, Charge) and record.invoice:
        yield record.invoice, record.intent or record.id


def _named_invoices(evidence: Evidence) -> set[str | None]:
    """Return every invoice whose id some event contains in full."""
    named: set[str | None] = set()
    for said in evidence.said.values():
        for record in (heard.record for heard in said):
            match record:
                case Invoice():
                    named.add(record.id)
                case Session() | InvoicePayment() | CreditNote():
                    named.add(record.invoice)
                case Subscription():
                    named.add(record.latest_invoice)
                case _:
                    pass
    return named - {None}


def shown_items(evidence: Evidence, subscription_id: str) -> list[tuple[int, Subscription]]:
    """Return the snapshots of a subscription with the items that are known at each.

    A list that was cut adds and changes; only a whole one removes.
    """
    known: dict[str, object] = {}
    found = []
    for at, record in evidence.history(Subscription, subscription_id):
        shown = record.items[:SHOWN]
        if len(shown) == len(record.items):
            known = {}
        else:
            evidence.use("cut-list")
        for item in shown:
            known[item.id] = item
        found.append((at, _with_items(record, known)))
    return found


def _with_items(record: Subscription, items: dict[str, object]) -> Subscription:
    return replace(record, items=tuple(items.values()))  # type: ignore[arg-type]


def names_of_line(evidence: Evidence, line: InvoiceLine) -> tuple[str | None, ...]:
    """Return the names on a line, which since basil has no lookup key."""
    new = evidence.account.release.shape is Shape.NEW
    return (line.offer.price, None if new else line.offer.lookup_key, line.offer.product)


def by_customer(evidence: Evidence, kind: type[Kind]) -> dict[str | None, list[Kind]]:
    """Return the objects of a kind by their customer."""
    found: defaultdict[str | None, list[Kind]] = defaultdict(list)
    for record in evidence.newest(kind).values():
        found[getattr(record, "customer", None)].append(record)
    return found
