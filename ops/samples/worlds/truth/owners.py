"""The owner of each object: one rule for access and money."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from ops.samples.api_shapes import Shape
from ops.samples.worlds.records import (
    Charge,
    Customer,
    Intent,
    Invoice,
    Metadata,
    Record,
    Session,
    Subscription,
)
from ops.samples.worlds.truth.evidence import AmbiguousWorldError, Evidence


class StatedUser(NamedTuple):
    """A user whom an object names, and since when."""

    user: str
    since: float


class Whose(NamedTuple):
    """The statements for one thing: by its own objects, in order, and in copies."""

    linkable: tuple[tuple[str, ...], ...]
    """Ids that a person may have linked; those of one group speak for each other."""
    stating: tuple[Record, ...]
    customer: str | None
    at: int
    copies: tuple[Metadata, ...] = ()
    by_charges: bool = False
    """True if the copies are those of charges whose intent was not heard of."""


def owner(evidence: Evidence, whose: Whose) -> str | None:
    """Return the user whose it is, None while that is not known."""
    if linked := _by_link(evidence, whose):
        return linked
    for word in evidence.shop.user_from:
        if found := _by_word(evidence, whose, word):
            return found
    others = _named_under(evidence, whose.customer)
    copied = {user for each in whose.copies if (user := evidence.shop.user_in(each))}
    if others:
        _refuse_unheard_intents(evidence, whose.customer, {each.user for each in others})
        first = _first_named(evidence, others, whose.at)
        if whose.by_charges and copied - {first}:
            raise AmbiguousWorldError("a charge names the user whom its intent named")
        if first or not copied:
            return first
    if len(copied) > 1:
        raise AmbiguousWorldError("two copies name two users")
    if copied:
        evidence.use("copies-name-user")
        return copied.pop()
    _refuse_unheard_intents(evidence, whose.customer, set())
    if any(_references(evidence, record) for record in whose.stating):
        evidence.use("reference-is-not-read")
    evidence.use("unknown-user-waits")
    return None


def _by_link(evidence: Evidence, whose: Whose) -> str | None:
    """Return the user to whom a person linked it."""
    for object_ids in whose.linkable:
        if links := evidence.links_of(object_ids):
            evidence.use("person-links-object")
            if links[0].user != links[-1].user:
                evidence.use("newest-link-counts")
            newest = StatedUser(links[-1].user, links[-1].at)
            return _moved(evidence, newest, whose.customer)
    return None


def _by_word(evidence: Evidence, whose: Whose, word: str) -> str | None:
    """Return the user by one word: of the object, and for metadata of its customer, too."""
    for record in whose.stating:
        if named := _statement(evidence, record, word):
            _note_word(evidence, whose, record, word)
            return _moved(evidence, named, whose.customer)
    return _by_customer(evidence, whose) if word == "metadata" else None


def _note_word(evidence: Evidence, whose: Whose, record: Record, word: str) -> None:
    if isinstance(record, Session) and record.subscription:
        evidence.use("session-names-users-subscription")
        if record.payment_link and word != "metadata":
            raise AmbiguousWorldError("a payment link's reference and a subscription")
    if word == "metadata":
        evidence.use("object-names-user")
        keys = evidence.shop.metadata_keys
        if keys != ("user_id",) and keys[0] in getattr(record, "metadata", {}):
            evidence.use("first-of-metadata-keys")
        return
    evidence.use("reference-names-user")
    if evidence.shop.user_from[0] != "metadata":
        return
    user = _statement(evidence, record, word)
    others = _named_under(evidence, whose.customer)
    different = user is not None and any(other.user != user.user for other in others)
    if different and any(_names_in_metadata(evidence, whose.customer)):
        raise AmbiguousWorldError("references and others' metadata under one customer")


def _by_customer(evidence: Evidence, whose: Whose) -> str | None:
    link = evidence.linked_user(whose.customer)
    own = _customers_own(evidence, whose.customer)
    if not (link or own):
        return None
    if any(_references(evidence, record) for record in whose.stating):
        first = evidence.shop.user_from[0] == "metadata"
        listed = "client_reference_id" in evidence.shop.user_from
        evidence.use("metadata-before-reference" if first and listed else "reference-is-not-read")
    copied = {user for each in whose.copies if (user := evidence.shop.user_in(each))}
    if whose.by_charges and copied - {link.user if link else own[-1].user}:
        raise AmbiguousWorldError("a charge names the user whom its intent named")
    if link:
        evidence.use("person-links-customer")
        return link.user
    customer = evidence.one(Customer, whose.customer)
    if customer and customer.deleted:
        evidence.use("deleted-customer-ends-nothing")
    evidence.use("customer-names-user")
    return own[-1].user


def _refuse_unheard_intents(evidence: Evidence, customer: str | None, named: set[str]) -> None:
    """Refuse a world in which charges alone show what their intents said under a customer."""
    for charge in evidence.newest(Charge).values():
        user = evidence.shop.user_in(charge.metadata)
        unheard = charge.intent is not None and evidence.one(Intent, charge.intent) is None
        if customer and charge.customer == customer and user and unheard and user not in named:
            raise AmbiguousWorldError("a charge names the user whom its intent named")


def _references(evidence: Evidence, record: Record) -> bool:
    return _statement(evidence, record, "client_reference_id") is not None


def _statement(evidence: Evidence, record: Record, word: str) -> StatedUser | None:
    """Return the newest user that an object names by a word, and the start of that run."""
    found: StatedUser | None = None
    for at, stated in _words_since(evidence, record):
        user = _user_in(evidence, stated, word)
        if user and (found is None or found.user != user):
            if found is not None:
                evidence.use("object-names-another-later")
            found = StatedUser(user, at)
        elif user is None and found is not None:
            evidence.use("clearing-is-no-statement")
    return found


def _words_since(evidence: Evidence, record: Record) -> Iterator[tuple[int, Record]]:
    """Yield what an object was heard to say, its first words since it was made."""
    heard = evidence.said[record.id]
    yield _made_at(evidence, record), heard[0].before or heard[0].record
    yield from evidence.history(type(record), record.id)


def _made_at(evidence: Evidence, record: Record) -> int:
    """Return the second of an object, or of its first event: old subscriptions did not say it."""
    first_heard = evidence.said[record.id][0].at
    if evidence.account.ancient and isinstance(record, Subscription):
        return first_heard
    return int(getattr(record, "created", first_heard))


def _user_in(evidence: Evidence, record: Record, word: str) -> str | None:
    if word == "client_reference_id":
        return record.reference if isinstance(record, Session) else None
    return evidence.shop.user_in(getattr(record, "metadata", {}))


def _customers_own(evidence: Evidence, customer: str | None) -> list[StatedUser]:
    """Return the users whom the customer's own metadata named, one after the other."""
    found: list[StatedUser] = []
    said = evidence.said.get(customer or "", [])
    if said and isinstance(before := said[0].before, Customer):
        former = evidence.shop.user_in(before.metadata)
        found += [StatedUser(former, 0)] if former else []
    for at, stated in evidence.history(Customer, customer or ""):
        user = evidence.shop.user_in(stated.metadata)
        if user and (not found or found[-1].user != user):
            found.append(StatedUser(user, at))
        elif user is None and found:
            evidence.use("clearing-is-no-statement")
    return found


def _changes(evidence: Evidence, customer: str | None) -> list[tuple[StatedUser, StatedUser]]:
    """Return the changes of the customer's metadata, and of a person's links of it.

    A link changes what the link before it said, else what the metadata said then.
    """
    links = [StatedUser(each.user, each.at) for each in evidence.links_of([customer])]
    own = _customers_own(evidence, customer)
    changes = list(pairwise(own))
    for number, link in enumerate(links):
        before = links[:number] or [each for each in own if each.since <= link.since]
        if before:
            changes.append((before[-1], link))
    return sorted(changes, key=lambda change: change[1].since)


def _moved(evidence: Evidence, named: StatedUser, customer: str | None) -> str:
    """Return the user to whom the customer's moves took what was stated for another."""
    user = named.user
    for before, after in _changes(evidence, customer):
        if named.since == after.since:
            raise AmbiguousWorldError("stated in the second of a move")
        if user == before.user and named.since < after.since:
            evidence.use("customer-moves")
            user = after.user
        else:
            evidence.use("move-leaves-others")
    return user


def _named_under(evidence: Evidence, customer: str | None) -> list[StatedUser]:
    """Return the users whom sessions, subscriptions, invoices and payments name."""
    if customer is None:
        return []
    found = []
    for record in _stating_under(evidence, customer):
        by_link = isinstance(record, Session) and record.payment_link
        found_by = (_statement(evidence, record, word) for word in _words_of(evidence, record))
        named = next((each for each in found_by if each), None)
        if named is None and by_link and _references(evidence, record):
            evidence.use("payment-link-speaks-for-itself")
        if named:
            if isinstance(record, Session) and record.status == "expired":
                raise AmbiguousWorldError("an expired session names a user")
            if _named_several(evidence, record):
                raise AmbiguousWorldError("an object named two users under a customer")
            found.append(named)
    return sorted(found, key=lambda each: each.since)


def _words_of(evidence: Evidence, record: Record) -> Sequence[str]:
    """Return the words by which an object names a user for its customer.

    A reference gives way to the metadata of what the session bought, which comes before it.
    """
    words = evidence.shop.user_from
    if not isinstance(record, Session):
        return words
    bought = [
        evidence.one(Subscription, record.subscription),
        evidence.one(Intent, record.intent),
        evidence.one(Invoice, record.invoice),
    ]
    named = any(_statement(evidence, each, "metadata") for each in bought if each)
    gives_way = named and words[0] == "metadata"
    return [w for w in words if w == "metadata" or not (record.payment_link or gives_way)]


def _named_several(evidence: Evidence, record: Record) -> bool:
    history = [each for _, each in evidence.history(type(record), record.id)]
    before = evidence.said[record.id][0].before
    stated = [*history, *([before] if before else [])]
    return len({_user_in(evidence, each, "metadata") for each in stated} - {None}) > 1


def _stating_under(evidence: Evidence, customer: str) -> Iterable[Record]:
    for kind in (Session, Subscription, Invoice, Intent):
        for record in evidence.newest(kind).values():
            if getattr(record, "customer", None) == customer:
                yield record
    for charge in evidence.newest(Charge).values():
        if charge.intent is None and charge.customer == customer:  # it is the payment itself
            yield charge


def _names_in_metadata(evidence: Evidence, customer: str | None) -> Iterable[bool]:
    for record in _stating_under(evidence, customer or ""):
        yield _statement(evidence, record, "metadata") is not None


def _first_named(evidence: Evidence, others: list[StatedUser], at: int) -> str | None:
    first = others[0]
    second = next((each for each in others if each.user != first.user), None)
    if second is not None and second.since in (first.since, at):
        raise AmbiguousWorldError("two users named in one second")
    if second is None or at < second.since:
        evidence.use("first-named-user")
        return first.user
    evidence.use("second-user-waits")
    return None


def of_subscription(
    evidence: Evidence, subscription_id: str, paid: Iterable[str | None] = ()
) -> Whose:
    """Return what states whose a subscription is, or what was ``paid`` for it.

    The latter, a payment or an invoice, may be linked by itself.
    """
    held = evidence.one(Subscription, subscription_id)
    sessions = [
        each for each in evidence.newest(Session).values() if each.subscription == subscription_id
    ]
    invoices = [
        each for each in evidence.newest(Invoice).values() if each.subscription == subscription_id
    ]
    described: list[Subscription | Session | Invoice] = [
        *([held] if held else []),
        *sessions,
        *invoices,
    ]
    own = _linked_with(evidence, paid) - {each.id for each in sessions}
    return Whose(
        linkable=(tuple(own), (subscription_id,), tuple(each.id for each in sessions)),
        stating=(*([held] if held else []), *sessions),
        customer=next((each.customer for each in described if each.customer), None),
        at=_made_at(evidence, held) if held else min(each.created for each in described),
        copies=() if evidence.account.ancient else tuple(each.copied for each in invoices),
    )


def _linked_with(evidence: Evidence, ids: Iterable[str | None]) -> set[str]:
    """Return the payments, charges, invoices and checkouts that events link to these, and these."""
    together = [
        *({each.id, each.intent, each.invoice} for each in evidence.newest(Session).values()),
        *({each.id, each.intent} for each in evidence.newest(Charge).values()),
        *({each.intent, each.charge} for each in _invoices_naming_charges(evidence)),
    ]
    found, waiting = set[str](), [each for each in ids if each]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += [*evidence.payments_of(each), *evidence.invoices_of(each)]
            waiting += [other for some in together if each in some for other in some if other]
    return found


def _invoices_naming_charges(evidence: Evidence) -> list[Invoice]:
    """Return the invoices of the old shapes, which name the charge of their payment."""
    named = evidence.account.release.shape is not Shape.NEW
    return list(evidence.newest(Invoice).values()) if named else []


def of_invoice(evidence: Evidence, invoice: Invoice, payment: str) -> Whose:
    """Return what states whose a one-off invoice is."""
    sessions = [
        each
        for each in evidence.newest(Session).values()
        if each.invoice == invoice.id or each.intent == payment
    ]
    intent = evidence.one(Intent, payment)
    return Whose(
        linkable=(tuple(_linked_with(evidence, [invoice.id, payment])),),
        stating=(invoice, *sessions, *([intent] if intent else [])),
        customer=invoice.customer,
        at=invoice.paid_at or invoice.created,
    )


def of_payment(evidence: Evidence, payment: str, at: int) -> Whose:
    """Return what states whose a payment without subscription and invoice is."""
    sessions = [each for each in evidence.newest(Session).values() if each.intent == payment]
    intent = evidence.one(Intent, payment)
    charges = [
        each for each in evidence.newest(Charge).values() if (each.intent or each.id) == payment
    ]
    own = [each for each in charges if each.intent is None]
    paying: list[Session | Intent | Charge] = [*sessions, *([intent] if intent else []), *charges]
    customers = [each.customer for each in paying]
    if intent and intent.customer and any(each.customer is None for each in charges):
        evidence.use("charge-has-its-intents-customer")
    return Whose(
        linkable=(tuple(_linked_with(evidence, [payment])),),
        stating=(*sessions, *([intent] if intent else []), *own),
        customer=next((each for each in customers if each), None),
        at=at,
        copies=tuple(each.metadata for each in charges if each.intent),
        by_charges=intent is None,
    )
