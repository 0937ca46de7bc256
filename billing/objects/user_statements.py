"""The words of an object about its user: its metadata and its client reference, over time.

The fold keeps every change of these words, since the catalogue says which of them name a user
(``[identity]``). A statement is dated where its unbroken run of naming one user begins.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

from billing.catalogue import CLIENT_REFERENCE_ID, Identity
from billing.facts import (
    ChargeFields,
    CheckoutSessionFields,
    CustomerFields,
    InvoiceFields,
    Metadata,
    PaymentIntentFields,
    SubscriptionFields,
    metadata_value,
)
from billing.ids import UserId
from billing.objects.observations import Observation, first_value

F = TypeVar(
    "F",
    CustomerFields,
    SubscriptionFields,
    CheckoutSessionFields,
    PaymentIntentFields,
    ChargeFields,
    InvoiceFields,
)
"""The fields of an object that has metadata."""


class UserStatement(NamedTuple):
    """The words of an object from which a user is read, and the time since which they stand."""

    at: datetime
    metadata: Metadata
    client_reference_id: str | None
    copied_metadata: Metadata
    """The copy of the subscription's metadata on an invoice."""


class NamedUser(NamedTuple):
    """A user, and the time since which an object names them."""

    user_id: UserId
    since: datetime


NamedUsers = tuple[NamedUser, ...]
"""The users that an object named one after the other; the last one is named now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStatements:
    """Every change of an object's words; ``made_at`` is the second of the object itself.

    ``references`` are the users that its client reference named. Those in metadata are read once
    for the same keys, since every projection asks for them again.
    """

    made_at: datetime
    changes: tuple[UserStatement, ...]
    references: NamedUsers
    _read: dict[tuple[str, ...], NamedUsers] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _copied: dict[tuple[str, ...], NamedUsers] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def by_metadata(self, identity: Identity) -> NamedUsers:
        """Return the users named by the object's own metadata."""
        keys = identity.metadata_keys
        if keys not in self._read:
            named = ((each.at, user_in(each.metadata, identity)) for each in self.changes)
            self._read[keys] = _runs(named)
        return self._read[keys]

    def by_client_reference(self) -> NamedUsers:
        """Return the users named by ``client_reference_id``."""
        return self.references

    def by_copy(self, identity: Identity) -> NamedUsers:
        """Return the users named by the copy of a subscription's metadata."""
        keys = identity.metadata_keys
        if keys not in self._copied:
            named = ((each.at, user_in(each.copied_metadata, identity)) for each in self.changes)
            self._copied[keys] = _runs(named)
        return self._copied[keys]

    def by_word(self, word: str, identity: Identity) -> NamedUsers:
        """Return the users named by one of the words of ``[identity] user_from``."""
        if word == CLIENT_REFERENCE_ID:
            return self.by_client_reference()
        return self.by_metadata(identity)


def fold_user_statements(
    facts: Sequence[Observation[F]], made_at: datetime | None
) -> UserStatements:
    """Return the statements of an object, given its observations and its own ``created``.

    The words before the first observed change count since the object was made: an endpoint may be
    younger than the object, and only an event shows a change.
    """
    made_at = made_at or facts[0].since
    words = _words(facts[0].before or facts[0].fields)
    changes = [UserStatement(made_at, *words)]
    for at, fields in _states(facts):
        before, words = words, _words(fields)
        if words != before:
            changes.append(UserStatement(at, *words))
    references = _runs([(each.at, each.client_reference_id) for each in changes])
    return UserStatements(made_at=made_at, changes=tuple(changes), references=references)


def _states(facts: Iterable[Observation[F]]) -> Iterator[tuple[datetime, F]]:
    """Yield the state before and after each observation; a missed change shows in the former."""
    for fact in facts:
        if fact.before is not None:
            yield fact.at, fact.before
        yield fact.at, fact.fields


def _words(fields: F) -> tuple[Metadata, str | None, Metadata]:
    reference, copied = None, Metadata()
    if isinstance(fields, CheckoutSessionFields):
        reference = fields.client_reference_id
    elif isinstance(fields, InvoiceFields):
        copied = fields.subscription_metadata
    return fields.metadata, reference, copied


def user_in(metadata: Metadata, identity: Identity) -> str | None:
    """Return the user that metadata names: the value of the first key that is there."""
    return first_value(metadata_value(metadata, key) for key in identity.metadata_keys)


def _runs(named: Iterable[tuple[datetime, str | None]]) -> NamedUsers:
    """Return the runs of one name; clearing it is no statement."""
    runs: list[NamedUser] = []
    for at, user_id in named:
        if user_id is not None and (not runs or runs[-1].user_id != user_id):
            runs.append(NamedUser(UserId(user_id), at))
    return tuple(runs)
