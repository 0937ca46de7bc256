"""The user rule: one for access, money, purchases, features and what waits.

The user of a source is, in this order:

1. the user to whom a person linked it (its subscription, payment, invoice or checkout),
2. the user whom the source itself states: a subscription, else the checkout that created it; for
   what was bought once, its checkout, else its payment, else its invoice,
3. the user to whom a person linked its customer, else the customer's own newest metadata,
4. the user who was named first under the customer by anything else, if the source is dated before
   a second user was named there; what is later waits, with both as candidates,
5. the user in a copy of the subscription's metadata on an invoice.

``[identity] user_from`` orders the words over all objects: by default the metadata of the source,
then of its customer, come before any ``client_reference_id``. When the customer changes from one
user to another, what was stated for the former before moves to the latter, and nothing else does.
A payment of a subscription's invoice has the subscription's user.

Stripe: https://docs.stripe.com/metadata and https://docs.stripe.com/api/checkout/sessions/object
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeVar

from billing.catalogue import METADATA, Identity
from billing.ids import CustomerId, UserId
from billing.objects.checkouts import SessionState
from billing.objects.invoices import InvoiceState
from billing.objects.links import LinkState
from billing.objects.observations import first_value
from billing.objects.payment_intents import AttemptState
from billing.objects.store import RealmObjects
from billing.objects.user_statements import NamedUser, NamedUsers, UserStatements
from billing.projection.invoices import InvoiceMatch, MatchedPayments
from billing.rows import PurchaseStatus

Each = TypeVar("Each")


class SourceOwner(NamedTuple):
    """The user of a source, None while it waits.

    ``candidates`` are the users between whom it waits. ``all_time`` is every user who could have
    been its user while fewer facts were known.
    """

    user_id: UserId | None
    candidates: tuple[UserId, ...] = ()
    all_time: frozenset[UserId] = frozenset()


class Move(NamedTuple):
    """A change of a customer from one user to another."""

    at: datetime
    old: UserId
    new: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerUsers:
    """The users of a customer: its own, its moves, and those whom others named under it."""

    user_id: UserId | None = None
    moves: tuple[Move, ...] = ()
    named_first: NamedUsers = ()
    """Each user whom other objects named, dated by the first time, the earliest first."""
    all_time: frozenset[UserId] = frozenset()

    def moved(self, stated: NamedUser) -> UserId:
        """Return the user of a statement after every move that came later than it."""
        user_id = stated.user_id
        for move in self.moves:
            if move.old == user_id and stated.since < move.at:
                user_id = move.new
        return user_id

    def named_for(self, at: datetime | None) -> UserId | None:
        """Return the user named first, for what is dated before a second one; None ``at`` is."""
        if not self.named_first:
            return None
        first, *later = self.named_first
        undecided = later and (
            later[0].since == first.since or (at is not None and at >= later[0].since)
        )
        return None if undecided else first.user_id


NamedByWord = Mapping[str, Sequence[Sequence[NamedUsers]]]
"""The users that each group of statements named, by each word of ``[identity] user_from``."""


class DescribedObject(Protocol):
    """An object that may name a user and a customer."""

    @property
    def user_statements(self) -> UserStatements:
        """Its words about its user."""

    @property
    def customer_id(self) -> CustomerId | None:
        """Its customer, if it names one."""


class Described(NamedTuple):
    """Everything that may name the user of one source.

    The groups of ids, which a person may have linked, and of statements are ordered by trust;
    ``at`` is the second of the source itself.
    """

    ids: tuple[tuple[str, ...], ...]
    stated: tuple[tuple[UserStatements, ...], ...]
    copied: tuple[UserStatements, ...]
    customer_id: CustomerId | None
    at: datetime | None


@dataclass(slots=True)
class NamedUnder:
    """The users named under a customer; some could have been named while less was known."""

    named: list[NamedUser] = field(default_factory=list)
    everyone: set[UserId] = field(default_factory=set)

    def add(self, named: NamedUsers, *, speaks: bool = True) -> None:
        """Add the users that an object named; some statements give way to better ones."""
        self.everyone |= _users(named)
        if speaks:
            self.named += named


@dataclass(slots=True)
class PaidObjects:
    """The objects that describe one payment or several that belong together."""

    refs: set[str] = field(default_factory=set)
    sessions: dict[str, SessionState] = field(default_factory=dict)
    attempts: dict[str, AttemptState] = field(default_factory=dict)
    invoices: dict[str, InvoiceState] = field(default_factory=dict)


class Ownership:
    """The users of everything in one realm of a party."""

    def __init__(self, objects: RealmObjects, matched: MatchedPayments, identity: Identity) -> None:
        self._objects, self._matched, self._identity = objects, matched, identity
        self._checkouts: dict[str, list[SessionState]] = defaultdict(list)
        self._invoices: dict[str, list[InvoiceState]] = defaultdict(list)
        self._links: dict[str, list[LinkState]] = defaultdict(list)
        self._by_customer: dict[CustomerId, CustomerUsers] = {}
        self._named_under: defaultdict[CustomerId, NamedUnder] | None = None
        self._paid: dict[str, SourceOwner] = {}
        self._subscribed: dict[str, SourceOwner] = {}
        for session in objects.sessions.values():
            if session.subscription:
                self._checkouts[session.subscription].append(session)
        for invoice in objects.invoices.values():
            if invoice.subscription:
                self._invoices[invoice.subscription].append(invoice)
        for link in sorted(objects.links.values(), key=lambda each: (each.since, each.id)):
            self._links[link.target].append(link)

    @property
    def subscriptions_of_checkouts(self) -> frozenset[str]:
        """Subscriptions that a checkout names, paid or not."""
        return frozenset(self._checkouts)

    def checkouts_of(self, subscription: str) -> list[SessionState]:
        """Return the checkouts that began a subscription."""
        return self._checkouts.get(subscription, [])

    def invoices_of(self, subscription: str) -> list[InvoiceState]:
        """Return the invoices of a subscription."""
        return self._invoices.get(subscription, [])

    def customer_users(self, customer_id: CustomerId) -> CustomerUsers:
        """Return the users of a customer, and those whom anything under it named."""
        return self._customer(customer_id)

    def of_customer(self, customer_id: CustomerId, at: datetime | None = None) -> SourceOwner:
        """Return the user of a customer, and of what belongs to it alone, dated ``at``."""
        return self._resolve(Described((), (), (), customer_id, at))

    def of_subscription(self, subscription: str) -> SourceOwner:
        """Return the user of a subscription, its invoices and their payments."""
        if subscription not in self._subscribed:  # each of its payments asks
            self._subscribed[subscription] = self._of_subscription_objects(subscription)
        return self._subscribed[subscription]

    def _of_subscription_objects(self, subscription: str) -> SourceOwner:
        state = self._objects.subscriptions.get(subscription)
        checkouts = sorted(self.checkouts_of(subscription), key=lambda each: each.id)
        invoices = sorted(self.invoices_of(subscription), key=lambda each: each.id)
        own = (state,) if state else ()
        oldest = _statements(own) or _statements((*checkouts, *invoices))
        return self._resolve(
            Described(
                ids=((subscription,), tuple(each.id for each in checkouts)),
                stated=(_statements(own), _statements(checkouts)),
                copied=_statements(invoices),
                customer_id=_customer_in((*own, *checkouts, *invoices)),
                at=min((each.made_at for each in oldest), default=None),
            )
        )

    def of_paid(self, ref: str) -> SourceOwner:
        """Return the user of a payment, an invoice or a checkout, and of what it bought.

        Objects that are linked to one another have one user; an inferred pair is no link.
        """
        if ref not in self._paid:
            paid = self._objects_around(ref)
            owner = self._of_paid_objects(paid)
            self._paid |= dict.fromkeys(paid.refs, owner)
        return self._paid[ref]

    def _of_paid_objects(self, paid: PaidObjects) -> SourceOwner:
        sessions, attempts = _by_id(paid.sessions), _by_id(paid.attempts)
        invoices = _by_id(paid.invoices)
        stated = (_statements(sessions), _statements(attempts), _statements(invoices))
        described = Described(
            ids=(tuple(sorted(paid.refs)),),
            stated=stated,
            copied=stated[2],
            customer_id=_customer_in((*attempts, *invoices, *sessions)),
            at=min([each.made_at for group in stated for each in group], default=None),
        )
        owner = self._resolve(described)
        billed = [each.subscription for each in invoices]
        billed += [each.subscription for each in sessions]
        billed += [match.subscription_naming_it for match in self._matches(paid.refs)]
        subscription = first_value(billed)
        return self._billed(described, owner, subscription, paid) if subscription else owner

    def _matches(self, refs: Iterable[str]) -> list[InvoiceMatch]:
        return [self._matched.matches[ref] for ref in sorted(refs) if ref in self._matched.matches]

    def _billed(
        self, described: Described, owner: SourceOwner, subscription: str, paid: PaidObjects
    ) -> SourceOwner:
        """Return the user of a subscription's payment: its own by a link, else the subscription's.

        A link of the checkout is one of the subscription.
        """
        billed = self.of_subscription(subscription)
        linked = _newest_link(self._links_of(paid.refs - paid.sessions.keys()))
        if linked:
            user_id = self._customer(described.customer_id).moved(linked)
            billed = billed._replace(user_id=user_id, candidates=())
        return billed._replace(all_time=billed.all_time | owner.all_time)

    def _objects_around(self, ref: str) -> PaidObjects:
        """Return every object that is linked with this payment, invoice or checkout."""
        paid, waiting = PaidObjects(), [ref]
        while waiting:
            each = waiting.pop()
            if each not in paid.refs:
                paid.refs.add(each)
                waiting += self._next_to(each, paid)
        return paid

    def _next_to(self, ref: str, paid: PaidObjects) -> Iterator[str]:
        """Note the objects of this name and yield the names that they are linked with."""
        if session := self._objects.sessions.get(ref):
            paid.sessions[ref] = session
            yield from filter(None, (session.payment_intent, session.invoice))
        if payment := self._matched.payments.get(ref):
            paid.attempts |= {attempt.id: attempt for attempt in payment.attempts}
            yield from (charge.id for charge in payment.charges)
            yield from (each.id for each in payment.sessions)
        yield from (m.ref for m in self._matched.matches_of.get(ref, ()) if not m.inferred)
        if match := self._matched.matches.get(ref):
            if match.invoice:
                paid.invoices[ref] = match.invoice
            yield from () if match.inferred else match.payments
            yield from (match.session.id,) if match.session else ()

    def _resolve(self, source: Described) -> SourceOwner:
        customer = self._customer(source.customer_id)
        named = self._named_by(source)
        copied = [runs for each in source.copied if (runs := each.by_copy(self._identity))]
        user_id = (
            self._stated(source, named, customer)
            or customer.named_for(source.at)
            or _user_of(_newest(copied))
        )
        said = [*copied, *(runs for groups in named.values() for group in groups for runs in group)]
        everyone = {each.user_id for runs in said for each in runs}
        everyone |= {link.user_id for ids in source.ids for link in self._links_of(ids)}
        candidates = () if user_id else tuple(each.user_id for each in customer.named_first)
        return SourceOwner(user_id, candidates, customer.all_time | everyone)

    def _links_of(self, ids: Iterable[str]) -> list[LinkState]:
        if not self._links:
            return []  # the usual case
        return [link for each in ids for link in self._links.get(each, ())]

    def _named_by(self, source: Described) -> NamedByWord:
        """Return whom each group named, leaving out statements that name no user."""
        return {
            word: [
                [runs for each in group if (runs := each.by_word(word, self._identity))]
                for group in source.stated
            ]
            for word in self._identity.user_from
        }

    def _stated(
        self, source: Described, named: NamedByWord, customer: CustomerUsers
    ) -> UserId | None:
        """Return the user by a link, by the source's own words or by its customer's own user."""
        links = (self._links_of(ids) for ids in source.ids)
        if self._links and (linked := first_value(map(_newest_link, links))):
            return customer.moved(linked)
        for word, groups in named.items():
            if stated := first_value(map(_newest, groups)):
                return customer.moved(stated)
            if word == METADATA and customer.user_id:
                return customer.user_id
        return customer.user_id

    def _customer(self, customer_id: CustomerId | None) -> CustomerUsers:
        if customer_id is None:
            return CustomerUsers()
        if customer_id not in self._by_customer:
            self._by_customer[customer_id] = self._users_of(customer_id)
        return self._by_customer[customer_id]

    def _users_of(self, customer_id: CustomerId) -> CustomerUsers:
        own = self._own_metadata(customer_id)
        links = self._links.get(customer_id, [])
        standing = [NamedUser(each.user_id, each.since) for each in links if not each.ended]
        under = self._others().get(customer_id, NamedUnder())
        first: dict[UserId, NamedUser] = {}
        for each in sorted(under.named, key=lambda one: (one.since, one.user_id)):
            first.setdefault(each.user_id, each)
        return CustomerUsers(
            user_id=_user_of((*own, *standing)[-1] if own or standing else None),
            moves=_moves(own, standing),
            named_first=tuple(first.values()),
            all_time=frozenset(_users(own).union(under.everyone, (each.user_id for each in links))),
        )

    def _own_metadata(self, customer_id: CustomerId) -> NamedUsers:
        customer = self._objects.customers.get(customer_id)
        if customer is None or METADATA not in self._identity.user_from:
            return ()
        return customer.user_statements.by_metadata(self._identity)

    def _others(self) -> Mapping[CustomerId, NamedUnder]:
        """Return whom sessions, subscriptions, invoices and payments named under each customer."""
        if self._named_under is None:
            self._named_under = defaultdict(NamedUnder)
            for session in self._objects.sessions.values():
                # To begin a checkout proves nothing.
                if session.customer_id and session.status is not PurchaseStatus.EXPIRED:
                    self._add_session(self._named_under[session.customer_id], session)
            if METADATA in self._identity.user_from:
                for customer_id, named in self._named_by_metadata():
                    self._named_under[customer_id].add(named)
        return self._named_under

    def _named_by_metadata(self) -> Iterator[tuple[CustomerId, NamedUsers]]:
        objects = self._objects
        charges = objects.charges.values()
        bare_charges = (each for each in charges if each.payment_intent not in objects.intents)
        described: Iterable[DescribedObject] = (
            *objects.subscriptions.values(),
            *objects.intents.values(),
            *objects.invoices.values(),
            *bare_charges,
        )
        for each in described:
            if each.customer_id:
                yield each.customer_id, each.user_statements.by_metadata(self._identity)

    def _add_session(self, under: NamedUnder, session: SessionState) -> None:
        """Add whom a checkout names for its customer, by the first word that names a user.

        The client reference of a payment link can be written by the buyer: it speaks for its
        checkout alone. Any client reference gives way to the metadata of what was bought.
        """
        decided = False
        for word in self._identity.user_from:
            if word == METADATA or not session.by_payment_link:
                named = session.user_statements.by_word(word, self._identity)
                under.add(named, speaks=not decided)
                decided |= bool(named) or (word == METADATA and self._bought_names_user(session))

    def _bought_names_user(self, session: SessionState) -> bool:
        bought = (
            self._objects.subscriptions.get(session.subscription or ""),
            self._objects.intents.get(session.payment_intent or ""),
            self._objects.invoices.get(session.invoice or ""),
        )
        return any(each.user_statements.by_metadata(self._identity) for each in bought if each)


def _newest_link(links: Iterable[LinkState]) -> NamedUser | None:
    standing = [(each.since, each.id, each.user_id) for each in links if not each.ended]
    if not standing:
        return None
    since, _, user_id = max(standing)
    return NamedUser(user_id, since)


def _moves(own: NamedUsers, links: Sequence[NamedUser]) -> tuple[Move, ...]:
    """Return the changes of a customer's user: by its metadata, and by a person's links.

    A link changes what the link before it said, else what the metadata said in its second.
    """
    moves = [Move(new.since, old.user_id, new.user_id) for old, new in pairwise(own)]
    for number, link in enumerate(links):
        before = links[:number] or [each for each in own if each.since <= link.since]
        if before:
            moves.append(Move(link.since, before[-1].user_id, link.user_id))
    return tuple(sorted(moves, key=lambda move: move.at))


def _newest(named: Iterable[NamedUsers]) -> NamedUser | None:
    """Return the newest of several objects' statements; within a second, of the lower user id."""
    stated = sorted([runs[-1] for runs in named])
    return max(stated, key=lambda each: each.since) if stated else None


def _users(named: NamedUsers) -> set[UserId]:
    return {each.user_id for each in named}


def _statements(described: Iterable[DescribedObject]) -> tuple[UserStatements, ...]:
    return tuple([each.user_statements for each in described])


def _customer_in(described: Iterable[DescribedObject]) -> CustomerId | None:
    return first_value([each.customer_id for each in described])


def _user_of(named: NamedUser | None) -> UserId | None:
    return named.user_id if named else None


def _by_id(objects: Mapping[str, Each]) -> list[Each]:
    return [objects[each] for each in sorted(objects)]
