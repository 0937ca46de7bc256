"""Read the lists of one account and mode for a run, those first that others refer to.

Each list is read to its end before the next one begins, because what is left out of a later list
follows from what an earlier one showed. The links of the users' file come as soon as the customers
are known, so that what follows belongs to its user at once. What customers paid is stored once all
of it is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from sqlalchemy import Engine

from ops.backfill.features import NAME, FeatureReader
from ops.backfill.sampling import refuse_wrong_key
from ops.backfill.taker import PageTaker
from ops.backfill.user_links import LinksMade, UserLinks
from ops.backfill.users_file import MappedUser
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import CUSTOMERS, INVOICES, OBJECT_LISTS, PAYMENT_INTENTS, StripeList
from ops.stripe_runs.stored_ranges import load_parts
from ops.stripe_runs.walk import READERS, ListReading, Walk
from ops.terminal.progress import ReportProgress
from runtime.stripe_api.client import StripeApi
from runtime.stripe_api.errors import ApiForbidden

_JUDGE_OTHERS: Final = frozenset({INVOICES.name, PAYMENT_INTENTS.name})
"""The lists that say what is left out of those after them."""


@dataclass(slots=True, kw_only=True)
class AccountReading:
    """The part of a run that one process reads.

    ``forbidden`` names the lists that the key may not read, ``unanswered`` those that Stripe did
    not answer to their end, with the reason.
    """

    engine: Engine
    taker: PageTaker
    links: UserLinks
    users: Sequence[MappedUser]
    make_api: Callable[[], StripeApi]
    is_stopping: Callable[[], bool]
    pause: Callable[[float], None]
    report: ReportProgress
    already: int
    """Objects that an earlier process of the run read."""
    forbidden: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    linked: LinksMade = field(default_factory=LinksMade)
    _read: int = 0
    _apis: list[PatientApi] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """The requests besides those for pages of lists, which the walk counts."""
        return sum(api.sent for api in (self.taker.api, *self._apis))

    def read(self) -> None:
        """Read every list, or stop after a page once a person asked for it.

        With `--since` it also stops after a list that Stripe did not answer to its end: what is
        left out of the next ones would follow from a part of it, and they are not read again.

        Raises:
            ApiFailure: Stripe refuses the key as a whole, or does not answer about one object.
            RunLost: the run was cancelled, or another process has it.
        """
        for wanted in OBJECT_LISTS:
            self._unless_forbidden(wanted.name, partial(self._read_list, wanted))
            if wanted.name in _JUDGE_OTHERS & self.forbidden.keys():
                self.taker = replace(self.taker, scope=None)
            if self.is_stopping() or (self.unanswered and self.taker.scope is not None):
                return
            if wanted is CUSTOMERS:
                self.linked = self.links.make(self.users)
        self.taker.store_held(self._show_waiting, self.is_stopping)
        if not self.is_stopping():
            self._unless_forbidden(NAME, self._read_features)

    def _read_list(self, wanted: StripeList) -> None:
        if self._is_done(wanted):
            return
        walk = Walk(
            self.engine,
            self.taker.run,
            [ListReading(list=wanted)],
            make_api=self.make_api,
            account=self.taker.api.account,
            is_stopping=self.is_stopping,
        )
        for page in walk.pages():
            self.taker.take(page, walk.save)
            self._read += len(page.objects)
            self._show(wanted.name)
        for unread in walk.unread:
            self.unanswered[wanted.name] = unread.reason

    def _read_features(self) -> None:
        if not self.taker.api.has_features():
            return
        account = self.taker.api.account
        self._apis = [PatientApi(self.make_api(), account, self.pause) for _ in range(READERS)]
        FeatureReader(
            taker=self.taker,
            apis=self._apis,
            is_stopping=self.is_stopping,
            show=lambda: self._show(NAME),
        ).read()

    def _is_done(self, wanted: StripeList) -> bool:
        """Return True if an earlier process of the run read the list to its end."""
        with self.engine.connect() as connection:
            stored = load_parts(connection, self.taker.run.id)
        parts = [part for part in stored if part.list == wanted.name]
        return bool(parts) and all(part.done for part in parts)

    def _unless_forbidden(self, name: str, read: Callable[[], None]) -> None:
        try:
            read()
        except ApiForbidden as error:
            refuse_wrong_key(error)
            self.forbidden[name] = str(error)

    def _show(self, name: str) -> None:
        self.report(self.already + self._read, name)

    def _show_waiting(self, waiting: int) -> None:
        self.report(self.already + self._read, f"{waiting} wait to be stored")
