"""The report of a backfill: what was read, what a person has to decide, what history alone says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from billing.ids import Realm
from ops.backfill.queries import CustomerWithoutUser, PriceInNoPlan
from ops.backfill.users_file import MappedUser
from ops.terminal.formats import format_count

ENDED: Final = frozenset({"done", "failed", "cancelled"})
"""States of a run with which no command goes on."""


@dataclass(slots=True, kw_only=True)
class ListCount:
    """The objects of one list by what became of them."""

    new: int = 0
    """Of which nothing was known."""
    changed: int = 0
    unchanged: int = 0
    """Of which exactly this was known."""
    left_out: int = 0
    """Which `--since` leaves out."""
    gone: int = 0
    """Which Stripe listed, and did not know any more when asked for all of it."""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ListCount":
        """Return the counts of their JSON."""
        return cls(**{each.name: int(document.get(each.name, 0)) for each in fields(cls)})

    def document(self) -> dict[str, int]:
        """Return the counts as JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def add(self, other: "ListCount") -> None:
        """Add the counts of another page."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def stored(self) -> int:
        """Objects that the run stored."""
        return self.new + self.changed


@dataclass(slots=True, kw_only=True)
class BackfillReport:
    """The result of the run of one account and mode.

    ``unreadable`` names the lists that were not read, with the reason. ``unlinked`` are lines of
    the users' file whose customer this account does not have.
    """

    realm: Realm
    run: int
    state: str
    requests: int = 0
    seconds: float = 0.0
    counts: dict[str, ListCount] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    links_made: int = 0
    links_earlier: int = 0
    unlinked: Sequence[MappedUser] = ()
    without_user: Sequence[CustomerWithoutUser] = ()
    without_user_total: int = 0
    prices_in_no_plan: Sequence[PriceInNoPlan] = ()

    @property
    def stored(self) -> int:
        """Objects that the run stored, of all lists."""
        return sum(each.stored for each in self.counts.values())

    @property
    def whole(self) -> bool:
        """True if every list was read to its end."""
        return self.state == "done" and not self.unreadable

    def history(self) -> list[str]:
        """Return what may be otherwise than events of the past would have it, as sentences."""
        return [*_without_history(self.prices_in_no_plan, left_out=_left_out(self.counts))]


def _left_out(counts: Mapping[str, ListCount]) -> int:
    return sum(each.left_out for each in counts.values())


def _without_history(prices: Sequence[PriceInNoPlan], *, left_out: int) -> Iterator[str]:
    if running := sum(each.running for each in prices):
        subscriptions = format_count(running, "running subscription")
        yield (
            f"{subscriptions} on a price in no plan may have had another price before, whose"
            " features it would have kept: Stripe shows the present price alone"
        )
    if left_out:
        yield (
            f"{format_count(left_out, 'object')} from before --since were left out, so the money"
            " of that time is not in `payments`"
        )
