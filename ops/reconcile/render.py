"""Print what reconciliations found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.reconcile.differences import DifferenceState, FoundDifference
from ops.terminal.formats import format_count
from ops.terminal.output import Columns, Json, print_json, print_rows, print_text, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """One run at its end: its statement, and its differences as far as they are listed."""

    run: int
    realm: str
    requests: int
    """Sent to Stripe."""
    says: str
    document: Mapping[str, Json]
    differences: Sequence[FoundDifference]
    """The first ones, those that need a person before those that are repaired."""
    total: int

    @property
    def agrees(self) -> bool:
        """True if nothing stands."""
        return bool(self.document["agrees"])


def print_ended(runs: Sequence[EndedRun], *, as_json: bool) -> None:
    """Print the statement of each run and what differs."""
    if as_json:
        print_json({"runs": [_document(each) for each in runs]})
        return
    for each in runs:
        print_text(f"{each.realm}, run {each.run}: {each.says}")
        for left_out in _sentences(each.document["not_compared"]):
            print_text(f"not compared: {left_out}", style="dim")
        if each.differences:
            print_text("")
            print_rows(_COLUMNS, each.differences)
            if (more := each.total - len(each.differences)) > 0:
                print_text(f"and {format_count(more, 'difference')} more: --limit", style="dim")
        print_text("")


def in_order(differences: Iterable[FoundDifference]) -> list[FoundDifference]:
    """Return differences in the order of their states: what needs a person first."""
    ranks = {
        DifferenceState.LEFT: 0,
        DifferenceState.STANDS: 1,
        DifferenceState.MOVING: 2,
        DifferenceState.REPAIRED: 3,
    }
    return sorted(differences, key=lambda each: (ranks[each.state], each.classed, each.name))


def _document(run: EndedRun) -> Json:
    return {
        "run": run.run,
        "requests": run.requests,
        **run.document,
        "differences": [to_json(each) for each in run.differences],
        "differences_in_all": run.total,
    }


def _sentences(listed: Any) -> list[str]:
    return [str(each) for each in listed] if isinstance(listed, list | tuple) else []


def _what(difference: FoundDifference) -> str:
    theirs = difference.theirs
    kind = theirs.get("type") if isinstance(theirs, Mapping) else None
    return str(kind or difference.family)


_COLUMNS: Columns[FoundDifference] = {
    "difference": lambda each: each.classed.replace("_", " "),
    "state": lambda each: each.state,
    "id": lambda each: each.name,
    "what": _what,
    "user": lambda each: each.user_id,
    "customer": lambda each: each.stripe_customer_id,
    "says": lambda each: each.says,
}
