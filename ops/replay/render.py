"""A replay and its dry run, for people and for programs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TypeVar

from billing.rows import EntitlementRow, PaymentRow
from ops.replay.preview import Foresight
from ops.replay.run import Fate, Replay, Told
from ops.terminal.formats import money, stamp
from ops.terminal.output import Json, plain, say, show, table

R = TypeVar("R", EntitlementRow, PaymentRow)

_QUIET = frozenset({Fate.APPLIED, Fate.ALREADY_APPLIED, Fate.KNOWN, Fate.LET_IN, Fate.UNTOUCHED})
_MOST_QUIET = 50
"""Fewer events than this are listed one by one, however little there is to say of each."""


def replay_document(replay: Replay) -> Json:
    """What became of each event, as JSON values."""
    return {
        "asked": replay.total,
        "readmitted": replay.readmitted,
        "interrupted": replay.interrupted,
        "counts": counts_document(replay.counts()),
        "events": events_document(replay.told),
    }


def print_replay(replay: Replay) -> None:
    """What became of each event; of many, of those that need a word."""
    _print_events(replay.told)
    say(_summary(replay.counts()), style="bold")
    if replay.interrupted:
        untouched = replay.counts()[Fate.UNTOUCHED]
        say(
            f"interrupted: {replay.readmitted} of {replay.total} were readmitted and are settled"
            f" without this command, {untouched} are untouched; the same command does what is left"
        )


def foresight_document(foresight: Foresight) -> Json:
    """What would change, as JSON values."""
    return {
        "dry_run": True,
        "asked": len(foresight.told),
        "counts": counts_document(foresight.counts()),
        **changes_document(foresight),
        "events": events_document(foresight.told),
    }


def print_foresight(foresight: Foresight) -> None:
    """What would change, before and after, and what would become of each event."""
    _print_events(foresight.told)
    print_changes(foresight)
    if foresight.rows:
        written = ", ".join(f"{name} {count}" for name, count in sorted(foresight.rows.items()))
        say(f"rows that would be written: {written}", style="dim")
    say(f"\ndry run, nothing was changed. {_summary(foresight.counts())}", style="bold")


def print_changes(foresight: Foresight) -> None:
    """Access and money, before and after."""
    grants = [_grant(*pair) for pair in foresight.entitlements.pairs()]
    if grants:
        say("\nentitlements", style="bold")
        show(table(("user", "source", "plan", "before", "after"), grants))
    paid = [_payment(*pair) for pair in foresight.payments.pairs()]
    if paid:
        say("\npayments", style="bold")
        show(table(("payment", "user", "before", "after"), paid))
    if not grants and not paid:
        say("\nno entitlement and no payment would change")


def changes_document(foresight: Foresight) -> dict[str, Json]:
    """The same as JSON values."""
    return {
        "entitlements": [_pair(*pair) for pair in foresight.entitlements.pairs()],
        "payments": [_pair(*pair) for pair in foresight.payments.pairs()],
        "rows": dict(sorted(foresight.rows.items())),
    }


def words(counts: Mapping[Fate, int]) -> str:
    """How many events had which fate."""
    return ", ".join(f"{counts[fate]} {fate}" for fate in Fate if counts.get(fate))


def _summary(counts: Counter[Fate]) -> str:
    total = counts.total()
    return f"{total} {'event' if total == 1 else 'events'}: {words(counts)}"


def print_told(told: Mapping[str, Told], *, of: int) -> None:
    """Events one by one, and how many there are of which nothing is said."""
    if told:
        rows = [(each.key, each.fate, each.says) for each in told.values()]
        show(table(("event", "fate", "because"), rows))
    if len(told) < of:
        say(f"and {of - len(told)} of which there is nothing more to say", style="dim")


def needs_a_word(told: Told) -> bool:
    """Whether somebody wants to know of this very event."""
    return told.fate not in _QUIET


def _print_events(told: Mapping[str, Told]) -> None:
    few = len(told) <= _MOST_QUIET
    shown = {key: each for key, each in told.items() if few or needs_a_word(each)}
    print_told(shown, of=len(told))


def counts_document(counts: Mapping[Fate, int]) -> Json:
    """How many events had which fate, as JSON values."""
    return {str(fate): counts[fate] for fate in Fate if counts.get(fate)}


def events_document(told: Mapping[str, Told]) -> Json:
    """Events one by one, as JSON values."""
    return [
        {"event": each.key, "fate": str(each.fate), "because": each.says or None}
        for each in told.values()
    ]


def _pair(
    before: EntitlementRow | PaymentRow | None, after: EntitlementRow | PaymentRow | None
) -> Json:
    return {
        "before": plain(asdict(before)) if before else None,
        "after": plain(asdict(after)) if after else None,
    }


def _grant(before: EntitlementRow | None, after: EntitlementRow | None) -> tuple[object, ...]:
    row = _either(before, after)
    return row.user_id, row.source, row.plan_code, _given(before), _given(after)


def _given(row: EntitlementRow | None) -> str:
    if row is None or not row.active:
        return "nothing"
    features = ", ".join(
        name if value is True else f"{name} {value}" for name, value in row.entitlements.items()
    )
    return (
        f"{features or 'no feature'}{f' until {stamp(row.expires_at)}' if row.expires_at else ''}"
    )


def _payment(before: PaymentRow | None, after: PaymentRow | None) -> tuple[object, ...]:
    row = _either(before, after)
    return row.payment_ref, row.user_id, _paid(before), _paid(after)


def _paid(row: PaymentRow | None) -> str:
    if row is None:
        return "nothing"
    refunded = row.amount_refunded_minor
    back = f", {money(refunded, row.currency)} refunded" if refunded else ""
    return f"{money(row.amount_minor, row.currency)} {row.status}{back}"


def _either(before: R | None, after: R | None) -> R:
    row = after or before
    assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
    return row
