"""Put objects that belong to one customer together, so that they are compared at once. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def together(named: Sequence[tuple[T, Iterable[str]]], parties: Mapping[str, str]) -> list[list[T]]:
    """Return the groups of what names a common object, or objects of a common party.

    Both orders are kept: that of the first of each group, and that in a group.
    """
    groups: list[tuple[list[int], set[str]]] = []
    for position, (_, keys) in enumerate(named):
        words = {parties.get(key, key) for key in keys}
        joined = [group for group in groups if group[1] & words]
        groups = [group for group in groups if not group[1] & words]
        members = [each for group in joined for each in group[0]] + [position]
        groups.append((members, words.union(*(group[1] for group in joined))))
    ordered = sorted(sorted(members) for members, _ in groups)
    return [[named[position][0] for position in members] for members in ordered]
