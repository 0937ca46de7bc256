"""The lines of an invoice or of a checkout, from all lists that its events show.

Stripe cuts lists in events. The lines are those of the newest whole list, with the cut lists after
it laid over by id: they add and change lines, and remove none.
https://docs.stripe.com/api/pagination
"""

from collections.abc import Iterable
from typing import NamedTuple

from billing.facts import Line

SUBSCRIPTION_LINE = "subscription"
"""The kind of a line that bills an item of a subscription."""


def bills_an_item(line: Line) -> bool:
    """Return True if the line bills an item of a subscription."""
    return line.kind == SUBSCRIPTION_LINE or line.subscription_item is not None


class LineList(NamedTuple):
    """All known lines; ``complete`` is False while Stripe has shown only a part of them."""

    lines: tuple[Line, ...]
    complete: bool

    @property
    def is_cut(self) -> bool:
        """True if lines are known, but not all of them."""
        return bool(self.lines) and not self.complete


def fold_lines(shown: Iterable[tuple[tuple[Line, ...], bool]]) -> LineList:
    """Return the lines of the lists, given oldest first, each with True if it is whole."""
    known: dict[str | int, Line] = {}
    complete = False
    for lines, whole in shown:
        listed = {line.id or place: line for place, line in enumerate(lines)}
        complete = whole or (complete and listed.keys() <= known.keys())
        known = listed if whole else known | listed
    return LineList(tuple(known.values()), complete)
