"""Say why a feature differs, with the reasons of ``paidup explain``."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection

from billing.ids import Realm
from ops.compare.classify import AccessClass, ComparedFeature
from ops.explain.reasons import Explanation, Reason, explain, features_of
from ops.queries.lookups import describe_missing, look_up
from ops.queries.user_state import load_user_state
from ops.queries.waiting_events import InboxSearch
from ops.terminal.formats import format_time

_SENTENCES: Final = 3
"""Of what is incomplete about a user; `explain` lists it all."""


class ReasonsOfUsers:
    """Reasons from one snapshot; differences of one user come one after the other."""

    def __init__(self, connection: Connection, realms: Sequence[Realm]) -> None:
        self._connection = connection
        self._realms = realms
        self._explained = lru_cache(maxsize=1)(self._explain)

    def of(self, compared: ComparedFeature) -> tuple[str, ...]:
        """Return the sentences that explain a difference."""
        explanation, missing = self._explained(compared.user_id)
        answers = {answer.feature: answer for answer in explanation.features}
        if compared.feature not in answers:
            return tuple(_incomplete(explanation, missing))
        reasons = answers[compared.feature].reasons
        return tuple(map(_sentence, reasons)) + tuple(_still_open(explanation, compared))

    def _explain(self, user_id: str) -> tuple[Explanation, str | None]:
        lookup = look_up(self._connection, self._realms, user_id)
        state = load_user_state(self._connection, lookup, self._realms)
        named = describe_missing(lookup) if lookup.parties or lookup.candidates else _NOTHING_NAMES
        missing = None if lookup.known else named
        return explain(state, lookup, features_of(state), InboxSearch()), missing


_NOTHING_NAMES: Final = (
    "no event, grant or link names this user: `paidup links waiting` lists what has no user yet"
)


def _sentence(reason: Reason) -> str:
    if reason.revoked is not None:
        return f"{reason.because} Revoked at {format_time(reason.revoked.at)}."
    return reason.because


def _still_open(explanation: Explanation, compared: ComparedFeature) -> Iterator[str]:
    """Yield what is incomplete where it may be the reason for giving less than the application."""
    if compared.access_class in {AccessClass.THEIRS_ONLY, AccessClass.OURS_LESS}:
        yield from (*explanation.waiting, *explanation.failed)[:_SENTENCES]


def _incomplete(explanation: Explanation, missing: str | None) -> Iterator[str]:
    """Yield why a user has nothing that gives a feature."""
    if missing is not None:
        yield f"{missing[0].upper()}{missing[1:]}."
        return
    yield "No subscription, purchase or grant of this user gives it or gave it."
    incomplete = (*explanation.waiting, *explanation.failed, *explanation.on_purpose)
    yield from (*incomplete, *explanation.without_effect)[:_SENTENCES]
