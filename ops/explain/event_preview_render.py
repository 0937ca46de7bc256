"""What an event would do, in sentences and as JSON values."""

from collections.abc import Iterator, Mapping
from typing import Any

from billing.rows import Projection
from ops.events.facts_text import facts_in, tell
from ops.explain.event_preview import Supposition
from ops.replay.render import changes_document, print_changes
from ops.terminal.formats import stamp
from ops.terminal.output import Json, plain, say, show, table


def supposition_document(supposed: Supposition) -> Json:
    """Everything that would follow, as JSON values."""
    envelope = supposed.envelope
    facts, why_none = facts_in(envelope.body, supposed.fetched)
    return {
        "dry_run": True,
        "event": {
            "id": envelope.event_id,
            "type": envelope.type,
            "api_version": envelope.api_version,
            "created_at": plain(envelope.created_at),
            "realm": envelope.realm,
        },
        "from": supposed.whence,
        "would_be": supposed.fate,
        "because": supposed.says or None,
        "facts": [dict(fact) for fact in facts],
        "states_nothing_because": None if facts else why_none,
        "users": [
            {"user_id": each.user_id, "before": plain(each.before), "after": plain(each.after)}
            for each in supposed.users
        ],
        **changes_document(supposed.foresight),
        "also": [
            {
                "action": each.action,
                "target_type": each.target_type,
                "target_id": each.target_id,
                "user_id": each.user_id,
            }
            for each in supposed.notes
        ],
        "unknown_prices": sorted(supposed.projection.unknown_prices if supposed.projection else ()),
        "waiting": list(_waiting(supposed.projection)),
        "catalogue_version": supposed.catalogue_version,
    }


def print_supposition(supposed: Supposition) -> None:
    """What it is and states, what would become of it, of whom, and what would still wait."""
    envelope = supposed.envelope
    say(envelope.event_id, style="bold")
    say(f"{envelope.type} of {stamp(envelope.created_at)}, {envelope.realm}", indent=2)
    say(f"from: {supposed.whence}", indent=2)
    _print_facts(supposed)
    because = f": {supposed.says}" if supposed.says else ""
    say(f"\nwould be: {supposed.fate}{because}", style="bold")
    print_changes(supposed.foresight)
    _print_users(supposed)
    for note in supposed.notes:
        of = f" of {note.user_id}" if note.user_id else ""
        say(f"also {note.action}: {note.target_id}{of}", indent=2)
    _print_waiting(supposed.projection)
    version = supposed.catalogue_version
    plans = f", by version {version} of the plans" if version else ""
    say(f"\nnothing was changed; this is what {envelope.event_id} would do now{plans}", style="dim")


def _print_facts(supposed: Supposition) -> None:
    facts, why_none = facts_in(supposed.envelope.body, supposed.fetched)
    say("\nwhat it states", style="bold")
    for fact in facts:
        say(tell(fact), indent=2)
    if not facts:
        say(f"nothing ({why_none})", indent=2)


def _print_users(supposed: Supposition) -> None:
    if supposed.users:
        say("\nusers", style="bold")
        rows = [(each.user_id, _given(each.before), _given(each.after)) for each in supposed.users]
        show(table(("user", "may use now", "and then"), rows))


def _given(features: Mapping[str, Any]) -> str:
    told = (name if value is True else f"{name} {value}" for name, value in features.items())
    return ", ".join(told) or "nothing"


def _print_waiting(projection: Projection | None) -> None:
    sentences = list(_waiting(projection))
    if sentences:
        say("\nwould wait", style="bold yellow")
    for sentence in sentences:
        say(sentence, indent=2)


def _waiting(projection: Projection | None) -> Iterator[str]:
    """What would give access, or is money, and would still lack something."""
    if projection is None:
        return
    for price in sorted(projection.unknown_prices):
        yield f"{price} is in no plan and gives nothing until `paidup plans apply` knows it."
    if projection.waiting:
        yield "Something would give access, or is money, and names no user: metadata.user_id tells."
    for subscription in sorted(projection.missing_subscriptions):
        yield f"A checkout would speak for {subscription} until a snapshot of it comes."
    for customer in sorted(projection.incomplete_summaries):
        yield f"Stripe's list of features for customer {customer} is cut off."
    for key in sorted(projection.undecided):
        yield f"What came last of {key} in its second would be a guess."
