"""The result of looking at what differs a second time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from billing.fetching.observations import Name
from ops.reconcile.classify import ObjectDifference
from ops.reconcile.compare import ShownObject
from ops.reconcile.differences import FoundDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The differences of a second look.

    ``found`` are all of them as they are stored. ``standing`` are those that a repair may record,
    and ``shown`` the objects as Stripe showed them then. ``moving`` are objects of the others: a
    repair leaves them alone.
    """

    found: tuple[FoundDifference, ...] = ()
    standing: tuple[ObjectDifference, ...] = ()
    moving: frozenset[Name] = frozenset()
    shown: Mapping[Name, ShownObject] = field(default_factory=dict)
