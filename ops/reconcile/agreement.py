"""The statement of agreement: what Stripe and Paidup agree on, and what they do not. Pure.

It is what a reconciliation ends in. It is kept as JSON in the run, and every place that shows it
says the same sentence.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from ops.reconcile.differences import DifferenceClass, DifferenceState
from ops.reconcile.totals import DifferingDay, MoneyStatus
from ops.terminal.formats import format_count, format_time
from ops.terminal.money import format_money
from ops.terminal.output import Json, to_json

DAYS_NAMED: Final = 2
"""The differing days that the sentence names; all of them are listed."""

Counts = Mapping[DifferenceClass, Mapping[DifferenceState, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedSum:
    """The money of the payments that both sides have alike, in minor units of one currency."""

    currency: str
    payments: int
    received: int
    refunded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A statement of agreement about one account and mode.

    ``as_of`` is the second in which the run began to compare: what came later may not be in it.
    ``whole`` means that nothing that Stripe lists of these parts was left out on purpose.
    ``not_compared`` are sentences.
    """

    realm: str
    as_of: datetime
    parts: tuple[str, ...]
    whole: bool
    subscriptions: int
    payments: int
    sums: tuple[AgreedSum, ...]
    events: int | None
    """Stripe's events that Paidup has, too; None if they were not compared."""
    differ: Counts
    days: tuple[DifferingDay, ...]
    not_compared: tuple[str, ...]

    @property
    def differing(self) -> int:
        """The differences that stand or are left: what neither side will mend by itself."""
        return sum(self._count(each) for each in DifferenceClass)

    @property
    def moving(self) -> int:
        """The differences that are young or under way."""
        return self._in_state(DifferenceState.MOVING)

    @property
    def repaired(self) -> int:
        """The differences that this run repaired."""
        return self._in_state(DifferenceState.REPAIRED)

    @property
    def agrees(self) -> bool:
        """True if nothing differs: no object, no event and no day's total."""
        return not self.differing and not self.days

    @property
    def sentence(self) -> str:
        """The statement in words."""
        return " ".join(self._sentences())

    def document(self) -> dict[str, Json]:
        """Return the statement as JSON values, with its sentence."""
        document = to_json(self)
        assert isinstance(document, dict)  # noqa: S101 - of a dataclass
        return {**document, "says": self.sentence, "agrees": self.agrees}

    def _sentences(self) -> Iterator[str]:
        yield f"Stripe and Paidup agree on {self._agreed()}, as of {format_time(self.as_of)}."
        yield f"{self.differing} differ{self._because()}."
        if self.repaired:
            yield f"{format_count(self.repaired, 'difference')} repaired in this run."
        if self.moving:
            yield f"{self.moving} moving, not counted: seen once, or something of it is under way."
        if self.days:
            yield _days_named(self.days)
        if self.not_compared:
            yield f"{format_count(len(self.not_compared), 'part')} not compared."

    def _agreed(self) -> str:
        parts = [
            format_count(self.subscriptions, "subscription"),
            format_count(self.payments, "payment"),
        ]
        if self.events is not None:
            parts.insert(0, format_count(self.events, "event"))
        *first, last = parts
        return f"{', '.join(first)} and {last}, {_money_of(self.sums)}"

    def _because(self) -> str:
        counted = [(each, number) for each in DifferenceClass if (number := self._count(each))]
        named = ", ".join(f"{number} {words_of(each)}" for each, number in counted)
        return f", because {named}" if named else ""

    def _count(self, classed: DifferenceClass) -> int:
        states = self.differ.get(classed, {})
        return states.get(DifferenceState.STANDS, 0) + states.get(DifferenceState.LEFT, 0)

    def _in_state(self, state: DifferenceState) -> int:
        return sum(states.get(state, 0) for states in self.differ.values())


def words_of(classed: DifferenceClass) -> str:
    """Return a class as people say it."""
    return _WORDS[classed]


def read_agreement(document: Mapping[str, Any]) -> Agreement:
    """Return the statement of a document that ``Agreement.document`` made."""
    return Agreement(
        realm=document["realm"],
        as_of=datetime.fromisoformat(document["as_of"]).astimezone(UTC),
        parts=tuple(document["parts"]),
        whole=document["whole"],
        subscriptions=document["subscriptions"],
        payments=document["payments"],
        sums=tuple(AgreedSum(**each) for each in document["sums"]),
        events=document["events"],
        differ={
            DifferenceClass(name): {DifferenceState(state): n for state, n in states.items()}
            for name, states in document["differ"].items()
        },
        days=tuple(_day(each) for each in document["days"]),
        not_compared=tuple(document["not_compared"]),
    )


def _day(document: Mapping[str, Any]) -> DifferingDay:
    return DifferingDay(
        **{
            **document,
            "day": date.fromisoformat(document["day"]),
            "status": MoneyStatus(document["status"]),
        }
    )


def _money_of(sums: Iterable[AgreedSum]) -> str:
    return ", ".join(_sum_in_words(each) for each in sums) or "without any money"


def _sum_in_words(each: AgreedSum) -> str:
    back = f" less {format_money(each.refunded, each.currency)}" if each.refunded else ""
    return f"sum {format_money(each.received, each.currency)}{back}"


def _days_named(days: tuple[DifferingDay, ...]) -> str:
    named = ", ".join(
        f"{each.day} ({each.status} {format_money(each.ours, each.currency)} here,"
        f" {format_money(each.theirs, each.currency)} at Stripe)"
        for each in days[:DAYS_NAMED]
    )
    more = f" and {len(days) - DAYS_NAMED} more" if len(days) > DAYS_NAMED else ""
    return f"Totals differ on {named}{more}."


_WORDS: Final[Mapping[DifferenceClass, str]] = {
    DifferenceClass.PAID_NOT_GRANTED: "paid and not granted",
    DifferenceClass.GRANTED_NOT_PAID: "granted and not paid",
    DifferenceClass.AMOUNTS: "with other amounts",
    DifferenceClass.MISSING_EVENT: "events missing",
    DifferenceClass.MISSING_HERE: "missing here",
    DifferenceClass.UNKNOWN_THERE: "unknown at Stripe",
    DifferenceClass.OTHER_STATUS: "with another status",
    DifferenceClass.OTHER_PRICE: "with another price",
    DifferenceClass.OTHER_PERIOD: "with another period",
    DifferenceClass.OTHER_USER: "with another user",
    DifferenceClass.STALE_HERE: "stale here",
}
