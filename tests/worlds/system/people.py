"""People of a world who state to a running system what they have to say, at any moment."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from sqlalchemy import Connection, text

from billing.ids import EventId, object_key
from billing.rows import EntitlementRow
from billing.statements import OperatorGrant, OperatorLink, OperatorStatement
from ops.explain.as_of import grants_as_of
from ops.queries.audit_history import load_access_history
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.world import World
from runtime.ledger.decisions import (
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
)
from runtime.ledger.errors import StatementRefused
from runtime.ledger.record import Ledger
from runtime.ledger.statements import EndStatement, NewStatement, StatedChange
from runtime.ledger.stored_statements import statement_of, subject_plain
from tests.worlds.adapter import subjects_of

ACTORS = ("cli:ada", "console:bob")

_FAR_AHEAD = datetime(2999, 1, 1, tzinfo=UTC)
_KNOWN = text("SELECT party FROM memberships WHERE object_key = :key")
_STATEMENT = text("SELECT * FROM operator_statements WHERE id = :id")
_AUDIT = text(
    "SELECT action, actor, reason, target_id, user_id, before, after FROM audit_logs"
    " WHERE event_id = :id ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Word:
    """A statement that a person of a world is to make."""

    subject: OperatorGrant | OperatorLink
    ends: bool


class People:
    """The people of a world; links of what no event has named yet are said again later."""

    def __init__(self, ledger: Ledger, world: World, random: Random) -> None:
        self.said: list[StatedChange] = []
        self.unsaid: list[tuple[Word, str]] = []
        """What could not be said in the end, and the answer."""
        self._refusals: dict[Word, str] = {}
        self._ledger, self._world, self._random = ledger, world, random
        self._waiting: list[Word] = []
        for stated in (each for account in world.accounts for each in subjects_of(account)):
            self._waiting.append(Word(stated.subject, ends=False))
            if stated.ended_at is not None:
                self._waiting.append(Word(stated.subject, ends=True))
        random.shuffle(self._waiting)

    def say_some(self, share: int) -> None:
        """Say one of ``share`` equal parts of what is not said yet."""
        self._say(self._waiting[: -(-len(self._waiting) // share)])

    def say_rest(self) -> None:
        """Say what can be said, and have the world forget what cannot: no event named it."""
        while self._say(list(self._waiting)):
            pass
        self.unsaid = [(word, self._refusals[word]) for word in self._waiting]
        made = {str(each.statement.subject.id): each for each in self._by_kind(ends=False)}
        ended = {str(each.statement.subject.id): each for each in self._by_kind(ends=True)}
        for account in self._world.accounts:
            _forget_unsaid(account, made, ended)

    def _by_kind(self, *, ends: bool) -> Iterator[StatedChange]:
        return (each for each in self.said if each.statement.ends is ends)

    def _say(self, words: Sequence[Word]) -> int:
        """Say these words as far as they can be said now, and return how many could be."""
        before = len(self.said)
        for word in words:
            if change := self._say_one(word):
                self.said.append(change)
                self._waiting.remove(word)
        return len(self.said) - before

    def _say_one(self, word: Word) -> StatedChange | None:
        actor = self._random.choice(ACTORS)
        subject, reason = word.subject, f"{actor} says so of {word.subject.id}"
        new = (
            EndStatement(
                id=EventId(f"op_end_{subject.id}"), subject=subject.id, actor=actor, reason=reason
            )
            if word.ends
            else NewStatement(
                id=EventId(f"op_{subject.id}"), subject=subject, actor=actor, reason=reason
            )
        )
        try:
            (change,) = self._ledger.transact(
                lambda connection: self._ledger.state(connection, [new])
            )
        except StatementRefused as refused:  # what it is about is not known yet
            self._refusals[word] = str(refused)
            return None
        return change


def _forget_unsaid(
    account: StripeAccount, made: dict[str, StatedChange], ended: dict[str, StatedChange]
) -> None:
    """Give the statements of an account the times at which they were made."""
    subjects = subjects_of(account)
    moments = [
        (_moment(made, each.subject.id), _moment(ended, each.subject.id)) for each in subjects
    ]
    links = len(account.linked)
    account.linked = [
        replace(link, at=at, ended_at=ended_at)
        for link, (at, ended_at) in zip(account.linked, moments[:links], strict=True)
        if at is not None
    ]
    account.granted = [
        replace(grant, ended_at=ended_at)
        for grant, (_, ended_at) in zip(account.granted, moments[links:], strict=True)
    ]


def _moment(changes: dict[str, StatedChange], subject: str) -> float | None:
    change = changes.get(subject)
    return change.statement.made_at.timestamp() if change else None


def wrongly_refused(connection: Connection, people: People) -> list[str]:
    """Return what was refused though events had named, or people made, what it is about."""
    made = {each.statement.subject.id for each in people.said}
    return [
        f"{word} was refused: {answer}"
        for word, answer in people.unsaid
        if not _is_unknown(connection, word, answer, made)
    ]


def _is_unknown(connection: Connection, word: Word, answer: str, made: Collection[str]) -> bool:
    """Return True if no event has named the target of a link, or if what is to end was not made."""
    if isinstance(word.subject, OperatorGrant) or word.ends:
        return word.ends and word.subject.id not in made
    target = word.subject.target
    key = {"key": object_key(word.subject.realm, target)}
    known = connection.execute(_KNOWN, key).one_or_none()
    return answer.startswith(f"no event has named {target} yet;") and known is None


def statement_differences(connection: Connection, said: Sequence[StatedChange]) -> list[str]:
    """Return what the tables have wrong about what people said: statement, audit, explanation."""
    return [
        wrong
        for change in said
        for find in (_stored_differently, _audited_differently, _explained_differently)
        for wrong in find(connection, change)
    ]


def _stored_differently(connection: Connection, change: StatedChange) -> Iterator[str]:
    row = connection.execute(_STATEMENT, {"id": change.statement.id}).one_or_none()
    if row is None or statement_of(row) != change.statement:
        yield f"the statement {change.statement.id} is stored as {row}"


def _audited_differently(connection: Connection, change: StatedChange) -> Iterator[str]:
    statement = change.statement
    entries = connection.execute(_AUDIT, {"id": statement.id}).all()
    for entry in entries:
        if (entry.actor, entry.reason) != (statement.actor, statement.reason):
            yield f"the audit of {statement.id} names {entry.actor}: {entry.reason}"
        if entry.before is None and entry.after is None:
            yield f"the audit of {statement.id} has neither before nor after: {entry.action}"
    own = [each for each in entries if each.target_id == statement.subject.id]
    if not any(_is_audit_of(each, statement) for each in own):
        yield f"the audit tells of {statement.id} only {own}"


def _is_audit_of(entry: Any, statement: OperatorStatement) -> bool:
    subject = statement.subject
    what = "grant" if isinstance(subject, OperatorGrant) else "link"
    says = subject_plain(subject)
    before_and_after = (says, None) if statement.ends else (None, says)
    return (
        entry.action == f"{what}.{'ended' if statement.ends else 'added'}"
        and entry.user_id == subject.user_id
        and (entry.before, entry.after) == before_and_after
    )


def _explained_differently(connection: Connection, change: StatedChange) -> Iterator[str]:
    """Ask what ``explain --at`` says of the moment at which a statement gave or took something."""
    statement = change.statement
    for decision in change.decisions:
        match decision:
            case EntitlementGranted(after=row) | EntitlementChanged(after=row):
                yield from _named_differently(connection, statement, row)
            case EntitlementRevoked(before=before, after=after):
                yield from _named_differently(connection, statement, after or before)
            case _:
                pass


def _named_differently(
    connection: Connection, statement: OperatorStatement, row: EntitlementRow
) -> Iterator[str]:
    """Yield what is wrong, unless the person is named or who changed the row in that moment, too.

    The moment is the one from which the statement can have been visible.
    """
    every = load_access_history(connection, row.user_id, _FAR_AHEAD).entries
    own = [each.entry for each in every if each.entry.event_id == statement.id]
    if not own or any((e.actor, e.reason) != (statement.actor, statement.reason) for e in own):
        yield f"explain --at does not know who said {statement.id}: {own}"
        return
    history = load_access_history(connection, row.user_id, own[-1].at)
    named = {each.key: entry for each, entry in grants_as_of(history)}.get(row.key)
    if named is None or (named not in own and named.at < own[-1].at):
        yield f"explain --at names {named} for {row.key}, not {statement.id}"
