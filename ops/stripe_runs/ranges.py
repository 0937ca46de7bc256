"""Read one list in several places at once: split the ranges in which its objects were created.

How many objects a range holds is unknown beforehand. The first page shows how many come in a
second, so a reader that has nothing to do takes the older half of what seems to be the most. Such
a half may be empty, which costs one request; the newer half is then all that is left to split.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from ops.stripe_runs.lists import PAGE_SIZE, Span
from ops.stripe_runs.pages import ListPage, created_in

FIRST_SECOND: Final = 1_293_840_000
"""The start of 2011, in which Stripe opened: no object is older, so half of a range without an
oldest second is half of what is left since then."""

WORTH_SPLITTING: Final = 3 * PAGE_SIZE
"""The objects that must seem left in a range: a reader would be done with fewer before another one
had read half of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPart:
    """A range of a list, as far as it is read: what is left is in ``span``.

    ``cursor`` is the last object that was read, and the next page begins after it. ``waits`` means
    that it is the live edge, which is read once all other parts of its list are done.
    """

    list: str
    position: int
    span: Span
    cursor: str | None = None
    pages: int = 0
    objects: int = 0
    done: bool = False
    waits: bool = False
    density: float | None = None
    """Objects a second in the pages that were read; None before the first one."""


def after_page(part: ListPart, page: ListPage) -> tuple[ListPart, ListPage]:
    """Return the part after a page, and the page without what belongs to another part now.

    The part may have been split while Stripe was asked; objects older than its span are then left
    to the other part.
    """
    oldest = part.span.oldest
    created = created_in(page.objects)
    kept = tuple(
        raw
        for raw, at in zip(page.objects, created, strict=True)
        if oldest is None or not page.list.has_created or at >= oldest
    )
    whole = len(kept) == len(page.objects)
    read = replace(
        part,
        pages=part.pages + 1,
        objects=part.objects + len(kept),
        done=not page.has_more or not whole,
    )
    if kept:
        read = replace(read, cursor=str(kept[-1]["id"]))
        if page.list.has_created:
            newest = part.span.newest if part.span.newest is not None else created[0]
            last = created[len(kept) - 1]
            read = replace(
                read,
                span=Span(oldest=oldest, newest=min(last, newest)),
                density=len(kept) / (max(newest - last, 0) + 1),
            )
    return read, replace(page, objects=kept)


def without_cursor(part: ListPart) -> ListPart:
    """Return the part as it goes on if Stripe no longer knows its last object.

    A customer may be deleted meanwhile. The objects of that second are then read once more.
    """
    return replace(part, cursor=None)


def seem_left(part: ListPart) -> float:
    """Return how many objects seem to be left in a part; 0 if nothing is known."""
    if part.done or part.waits or part.density is None or part.span.newest is None:
        return 0.0
    return part.density * (part.span.newest - _floor(part.span))


def largest(parts: Iterable[ListPart]) -> ListPart | None:
    """Return the part that is most worth splitting, or None if none is."""
    worth = [
        part
        for part in parts
        if seem_left(part) >= WORTH_SPLITTING and _middle(part.span) is not None
    ]
    return max(worth, key=seem_left, default=None)


def split(part: ListPart, position: int) -> tuple[ListPart, ListPart]:
    """Return the newer half, which goes on where the part is, and the older one.

    The second of the last object that was read stays in the newer half.
    """
    middle = _middle(part.span)
    if middle is None:
        raise ValueError(f"{part} has no second to split at")
    newer = replace(part, span=Span(oldest=middle + 1, newest=part.span.newest))
    older = ListPart(
        list=part.list, position=position, span=Span(oldest=part.span.oldest, newest=middle)
    )
    return newer, older


def _middle(span: Span) -> int | None:
    """Return the newest second of the older half; None if there is no older half."""
    if span.newest is None:
        return None
    floor = _floor(span)
    middle = (floor + span.newest) // 2
    return middle if floor <= middle < span.newest else None


def _floor(span: Span) -> int:
    return FIRST_SECOND if span.oldest is None else span.oldest
