"""Say how a difference stands once Stripe was asked twice, and what an operator does next. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from billing.fact_codec import fact_to_json
from billing.facts import Fact
from billing.fetching.observations import Name
from billing.rows import EntitlementRow
from ops.reconcile.classify import ObjectDifference, RowChange, is_active, stripe_id_of_row
from ops.reconcile.differences import DifferenceClass, DifferenceState, FoundDifference
from ops.reconcile.waiting import UnappliedEvent
from ops.terminal.formats import format_time
from ops.terminal.output import to_json
from runtime.json_text import write_json
from runtime.ledger.rows import TableName

SEEN_ONCE: Final = "seen once: a difference counts when it stands in two looks a minute apart"
HELD: Final = "it could not be compared: its customer was being changed at that moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLook:
    """Explanations of a difference that may pass: objects that changed meanwhile, and events."""

    changed: frozenset[Name] = frozenset()
    unapplied: Mapping[str, UnappliedEvent]


def restate(found: ObjectDifference, look: SecondLook) -> FoundDifference:
    """Return the difference of two looks as it stands, with the next step in words."""
    event = _event_about(found, look.unapplied)
    if event is not None and event.is_dead:
        says = f"event {event.event_id} is a dead letter: `paidup dead show {event.event_id}`"
        return stored(found, DifferenceState.LEFT, f"{in_words(found)}; {says}")
    if event is not None:
        says = f"event {event.event_id} waits to be applied"
        return stored(found, DifferenceState.MOVING, f"{in_words(found)}; {says}")
    if look.changed.intersection(found.objects):
        return stored(found, DifferenceState.MOVING, "it changed at Stripe between the two looks")
    if not found.changes:
        return stored(found, DifferenceState.LEFT, _UNKNOWN)
    return stored(found, DifferenceState.STANDS, in_words(found))


def stored(found: ObjectDifference, state: DifferenceState, says: str) -> FoundDifference:
    """Return a difference as it is stored."""
    family, name = found.name
    return FoundDifference(
        name=name,
        family=family,
        classed=found.classed,
        state=state,
        says=says,
        stripe_customer_id=found.customer_id,
        user_id=found.user_id,
        ours=to_json(found.ours),
        theirs=to_json(found.theirs),
    )


def undecided(name: Name) -> FoundDifference:
    """Return the difference of an object that could not be compared now."""
    return FoundDifference(
        name=name[1],
        family=name[0],
        classed=DifferenceClass.STALE_HERE,
        state=DifferenceState.MOVING,
        says=HELD,
    )


def digest_of(facts: Collection[Fact]) -> str:
    """Return the SHA-256 of what facts state, at any time and by any event."""
    stated = sorted(
        write_json([fact.object_key, fact.customer_id, fact_to_json(fact)["fields"]])
        for fact in facts
    )
    return sha256("\n".join(stated).encode()).hexdigest()


def in_words(found: ObjectDifference) -> str:
    """Return what differs: who gets or loses what, and each value here and at Stripe."""
    return "; ".join(map(_change_in_words, found.changes)) or _UNKNOWN


_UNKNOWN: Final = (
    "Stripe has no such object: it may be of another account or mode, or of test data that was"
    " deleted; compare it with the Dashboard"
)


def _event_about(
    found: ObjectDifference, unapplied: Mapping[str, UnappliedEvent]
) -> UnappliedEvent | None:
    ids = [stripe_id for _, stripe_id in (*found.objects, found.name)]
    events = [event for each in ids if (event := unapplied.get(each))]
    return next((each for each in events if not each.is_dead), next(iter(events), None))


def _change_in_words(change: RowChange) -> str:
    row, name = change.row, f"{_TABLES[change.table]} {stripe_id_of_row(change.row)}"
    if isinstance(row, EntitlementRow):
        was, will_be = is_active(change.before), is_active(change.after)
        name = f"{row.plan_code} of user {row.user_id}"
        if was != will_be:
            return f"a repair {'gives' if will_be else 'takes'} {name}"
    elif change.before is None:
        return f"{name} is not here"
    elif change.after is None:
        return f"{name} is here and not at Stripe"
    return f"{name}: {', '.join(_columns(change))}"


def _columns(change: RowChange) -> Iterator[str]:
    ours, theirs = change.values(change.before) or {}, change.values(change.after) or {}
    for name in change.columns:
        column = name.removesuffix("_minor").replace("_", " ")
        yield f"{column} {_word(ours[name])} here, {_word(theirs[name])} at Stripe"


_TABLES: Final[Mapping[TableName, str]] = {
    TableName.CUSTOMERS: "customer",
    TableName.SUBSCRIPTIONS: "subscription",
    TableName.PURCHASES: "purchase",
    TableName.PAYMENTS: "payment",
    TableName.ENTITLEMENTS: "access",
}


def _word(value: Any) -> str:
    match value:
        case None | ():
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return format_time(value)
        case str() | int():
            return str(value)
        case Mapping():
            return ", ".join(f"{name} {each}" for name, each in sorted(value.items())) or "nothing"
        case _:
            return " ".join(map(str, value))
