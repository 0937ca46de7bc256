"""Find whom a person means: by a user id, an id of Stripe, an address, a name or metadata.

A user id may look like any of the others, so a user whom a row names comes first. An id of Stripe,
an address, and the id of a grant, a link or a statement lead to a user. A name and a value of
metadata lead to candidates only: several people may share them, and what stands in metadata may be
another user's id. Every command asks here, so all of them mean the same by the same text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, Select, select, union

from billing.ids import ObjectKey, Realm, stripe_id_of
from billing.readers.search_terms import (
    EMAIL,
    WORDS,
    Named,
    email_term,
    is_stripe_id,
    word_term,
)
from billing.statements import GRANT_PREFIX, LINK_PREFIX, STATEMENT_PREFIX
from models.tables import (
    Membership,
    SearchTerm,
    StoredCustomer,
    StoredPayment,
    StoredPurchase,
    StoredStatement,
    StoredSubscription,
)
from ops.errors import CommandFailed
from ops.queries.known_users import is_known
from ops.queries.parties import is_named, parties_of_object, parties_of_user, users_of_parties
from runtime.database.one_of import one_of

LINKABLE: Final = ("sub_", "pi_", "cs_", "in_", "cus_", "ch_", "py_")
"""The beginnings of the ids of which a person may say whose they are."""

_STATED: Final = (GRANT_PREFIX, LINK_PREFIX, STATEMENT_PREFIX)
_MAX_NAMED: Final = 5
_MAX_BEARING: Final = 100
_OF_AN_OBJECT: Final = SearchTerm.object_key.contains(":")
"""Excludes terms of dead letters, which have no realm in their key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A customer, or an object without one, that bears a text as a name or in its metadata."""

    stripe_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Everything under which an event may name the one whom a text means.

    ``users`` is empty if no event named a user yet. ``known`` is false if no settled event names
    the text, or only an abandoned checkout names it as its user.
    """

    text: str
    known: bool
    users: tuple[str, ...]
    parties: frozenset[str]
    email: str | None
    """The text as an address, in lower case."""
    word: str | None = None
    """The text as a name or a value of metadata, if it means nothing else."""
    candidates: tuple[Candidate, ...] = ()
    """The first of those that bear the word."""
    more_candidates: bool = False

    @property
    def user(self) -> str:
        """The first user, else the text itself."""
        return self.users[0] if self.users else self.text

    def named_by(self, named: Named, *, by_words: bool = False) -> bool:
        """Return whether an event that names all this names the text, or one of its users.

        ``by_words`` counts names and metadata, too, which may be those of others.
        """
        if self.text in named.ids or (self.email is not None and self.email in named.emails):
            return True
        if by_words and self.word is not None and self.word in named.names | named.metadata:
            return True
        return not named.users.isdisjoint({self.text, *self.users})


def look_up(connection: Connection, realms: Sequence[Realm], text: str) -> Lookup:
    """Return whom the text means."""
    email = email_term(text)
    if is_named(connection, text):
        known, parties = is_known(connection, text), parties_of_user(connection, text)
        return Lookup(text=text, known=known, users=(text,), parties=parties, email=email)
    if text.startswith(_STATED) and (user := _user_of_statement(connection, text)):
        return replace(look_up(connection, realms, user), text=text)
    parties = _parties_named(connection, realms, text, email)
    if parties or is_stripe_id(text):
        of_object = _users_of_object(connection, text, parties)
        users = of_object or users_of_parties(connection, parties)
        known = bool(parties)
        return Lookup(text=text, known=known, users=users, parties=parties, email=email)
    return _by_word(connection, text, email)


def look_up_each(
    connection: Connection, realms: Sequence[Realm], *, user: str | None, customer: str | None
) -> dict[str, Lookup]:
    """Return whom the ``user`` and the ``customer`` of a filter mean, as far as it has them.

    What names the user of a customer need not be about the customer.
    """
    found = {}
    if user is not None:
        found["user"] = look_up(connection, realms, user)
    if customer is not None:
        found["customer"] = replace(look_up(connection, realms, customer), users=())
    return found


def look_up_one(connection: Connection, realms: Sequence[Realm], text: str) -> Lookup:
    """Return whom the text means, which is one user at most.

    Raises:
        CommandFailed: if the text means several users.
    """
    lookup = look_up(connection, realms, text)
    if (count := len(lookup.users)) > 1:
        more = f" and {count - _MAX_NAMED} more" if count > _MAX_NAMED else ""
        named = ", ".join(lookup.users[:_MAX_NAMED])
        raise CommandFailed(f"{text} has {count} users, name one of them: {named}{more}")
    return lookup


def parties_meant(connection: Connection, lookup: Lookup) -> frozenset[str]:
    """Return the parties of the only user of a lookup; without a user, those of its objects."""
    return parties_of_user(connection, lookup.user) if lookup.users else lookup.parties


def describe_missing(lookup: Lookup) -> str | None:
    """Return a sentence about one who has no user, or is unknown, with what to do; else None."""
    text = lookup.text
    if lookup.users:
        abandoned = f"only an abandoned checkout names {text!r}: nothing is granted"
        return None if lookup.known else abandoned
    if lookup.parties:
        return (
            f"no event names a user of {text} yet: set metadata.user_id on the customer in Stripe,"
            f" or say whose it is: {linking_call(_linkable(lookup))}; `paidup explain {text}` shows"
            " what waits for it"
        )
    if lookup.candidates:
        bear = describe_candidates(lookup.candidates, more=lookup.more_candidates)
        return f"no event names {text!r}, but {bear}"
    if is_stripe_id(text):
        return f"no event names {text!r}: compare it with Stripe's dashboard (live or test?)"
    return (
        f"no event names {text!r}: give your own id of the user, an id of Stripe, an e-mail"
        " address or a name"
    )


def describe_first_missing(lookups: Mapping[str, Lookup]) -> str | None:
    """Return a sentence about the first of them whom no settled event names, else None."""
    unknown = (lookup for lookup in lookups.values() if not lookup.parties)
    return next((describe_missing(lookup) for lookup in unknown), None)


def _linkable(lookup: Lookup) -> str:
    """Return the text, or the only object of Stripe that it means."""
    if lookup.text.startswith(LINKABLE) or len(lookup.parties) != 1:
        return lookup.text
    return stripe_id_of(ObjectKey(*lookup.parties))


def linking_call(text: str) -> str:
    """Return the call by which a person says whose an object of Stripe is."""
    target = text if text.startswith(LINKABLE) else "ID"
    return f"`paidup links add {target} USER --reason WHY`"


def describe_candidates(candidates: Sequence[Candidate], *, more: bool) -> str:
    """Return the words that list those who bear a text as a name or in their metadata."""
    named = ", ".join(map(_describe_candidate, candidates))
    others = " and others" if more else ""
    return f"it is a name or in the metadata of {named}{others}: name one of them by its id"


def _describe_candidate(candidate: Candidate) -> str:
    users = " and ".join(candidate.users)
    return f"{users} ({candidate.stripe_id})" if users else f"{candidate.stripe_id} (no user yet)"


def _user_of_statement(connection: Connection, text: str) -> str | None:
    """Return the user of a grant or a link, or of a statement that made or ended one."""
    named = (StoredStatement.id == text, StoredStatement.subject == text)
    users = union(*(select(StoredStatement.user_id).where(each) for each in named))
    return connection.scalars(users).first()


def _parties_named(
    connection: Connection, realms: Sequence[Realm], text: str, email: str | None
) -> frozenset[str]:
    if is_stripe_id(text):
        return parties_of_object(connection, text, realms)
    if email is not None:
        return frozenset(connection.scalars(parties_by_email(email)))
    return frozenset()


def parties_by_email(email: str) -> Select[str]:
    """Return the query for the parties of the objects that bear an address."""
    # A dead letter is no object, so an address that only dead letters name has no party.
    bears = SearchTerm.object_key == Membership.object_key
    query = select(Membership.party).join(SearchTerm, bears)
    return query.where(SearchTerm.term == email, SearchTerm.kind == EMAIL)


def objects_by_word(word: str, *, limit: int) -> Select[str, str]:
    """Return the query for the objects that bear a name or a value of metadata, with parties."""
    # A value such as `web` may stand in the metadata of every customer: one index gives the first.
    of_kind = (
        select(SearchTerm.object_key)
        .where(SearchTerm.term == word, SearchTerm.kind == kind, _OF_AN_OBJECT)
        .order_by(SearchTerm.object_key)
        .limit(_MAX_BEARING)
        for kind in WORDS
    )
    some = union(*of_kind).subquery()
    bears = some.c.object_key == Membership.object_key
    query = select(Membership.object_key, Membership.party).join(some, bears).distinct()
    return query.order_by(Membership.object_key).limit(limit)


def _by_word(connection: Connection, text: str, email: str | None) -> Lookup:
    word = word_term(text)
    found = connection.execute(objects_by_word(word, limit=_MAX_NAMED + 1)).all()
    candidates = tuple(
        Candidate(
            stripe_id=stripe_id_of(ObjectKey(object_key)),
            users=users_of_parties(connection, [party]),
        )
        for object_key, party in found[:_MAX_NAMED]
    )
    return Lookup(
        text=text,
        known=False,
        users=(),
        parties=frozenset(),
        email=email,
        word=word,
        candidates=candidates,
        more_candidates=len(found) > _MAX_NAMED,
    )


def _users_of_object(
    connection: Connection, stripe_id: str, parties: frozenset[str]
) -> tuple[str, ...]:
    """Return the users whom the object's own row names: others of its customer are not meant."""
    names = (
        (StoredCustomer, StoredCustomer.stripe_customer_id),
        (StoredSubscription, StoredSubscription.stripe_subscription_id),
        (StoredPayment, StoredPayment.payment_ref),
        (StoredPayment, StoredPayment.invoice_id),
        (StoredPurchase, StoredPurchase.purchase_ref),
        (StoredPurchase, StoredPurchase.payment_ref),
    )
    query = union(
        *(
            select(table.user_id).where(
                one_of(table.party, parties), column == stripe_id, table.user_id.is_not(None)
            )
            for table, column in names
        )
    )
    return tuple(sorted(connection.scalars(query)))
