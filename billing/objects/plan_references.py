"""The names by which Stripe's objects say what was bought."""

from collections.abc import Iterable
from dataclasses import dataclass

from billing.facts import Line, Metadata, metadata_value

_PRICE_PREFIXES = ("price_", "plan_")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReference:
    """One thing that was bought: by the names of its price, or by the code of its plan.

    ``refs`` holds price id, lookup key and product id, as far as they are known, in this order. A
    payment link stands alone.
    """

    refs: tuple[str, ...] = ()
    plan_code: str | None = None

    @property
    def price(self) -> str | None:
        """The price id among the names, for rows."""
        return next((ref for ref in self.refs if ref.startswith(_PRICE_PREFIXES)), None)

    @property
    def price_names(self) -> tuple[tuple[str, ...], ...]:
        """The names of each price: of one, or of none."""
        return (self.refs,) if self.refs else ()


def reference_of_line(line: Line) -> PlanReference:
    """Return the names of a line's price; none if the line has no price."""
    return PlanReference(refs=_known(line.names))


def reference_without_product(line: Line) -> PlanReference:
    """Return the names of a line's price without its product, which several prices share."""
    return PlanReference(refs=_known((line.price, line.lookup_key)))


def references_in_metadata(metadata: Metadata) -> tuple[PlanReference, ...]:
    """Return what an application's own metadata names: the price, then the plan."""
    price_id = metadata_value(metadata, "price_id")
    plan_code = metadata_value(metadata, "plan_code")
    stated = [PlanReference(refs=(price_id,))] if price_id else []
    return (*stated, PlanReference(plan_code=plan_code)) if plan_code else tuple(stated)


def newest_metadata(snapshots: Iterable[Metadata]) -> Metadata:
    """Return the newest value of each key of metadata snapshots, given oldest first.

    A key that is missing takes nothing back: what was bought does not change with it.
    """
    newest: dict[str, str] = {}
    for metadata in snapshots:
        newest.update(metadata)
    return tuple(newest.items())


def _known(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(name for name in names if name)
