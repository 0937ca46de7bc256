"""Print the preview of an event, or turn it into JSON values."""

from collections.abc import Iterator, Mapping
from typing import Any

from billing.rows import Projection
from ops.events.facts_text import describe_fact, read_facts
from ops.explain.event_preview import EventPreview
from ops.replay.render import changes_document, print_changes
from ops.terminal.formats import format_time
from ops.terminal.output import Json, make_table, print_table, print_text, to_json


def event_preview_document(preview: EventPreview) -> Json:
    """Return the preview as JSON values."""
    envelope = preview.envelope
    facts, no_facts_reason = read_facts(envelope.body, preview.fetched)
    return {
        "dry_run": True,
        "event": {
            "id": envelope.event_id,
            "type": envelope.type,
            "api_version": envelope.api_version,
            "created_at": to_json(envelope.created_at),
            "realm": envelope.realm,
        },
        "from": preview.origin,
        "would_be": preview.outcome,
        "because": preview.says or None,
        "facts": [dict(fact) for fact in facts],
        "no_facts_reason": None if facts else no_facts_reason,
        "users": [
            {"user_id": each.user_id, "before": to_json(each.before), "after": to_json(each.after)}
            for each in preview.users
        ],
        **changes_document(preview.changes),
        "also": [
            {
                "action": each.action,
                "target_type": each.target_type,
                "target_id": each.target_id,
                "user_id": each.user_id,
            }
            for each in preview.notes
        ],
        "unknown_prices": sorted(preview.projection.unknown_prices if preview.projection else ()),
        "waiting": list(_waiting(preview.projection)),
        "catalogue_version": preview.catalogue_version,
    }


def print_event_preview(preview: EventPreview) -> None:
    """Print the event, its facts, its outcome, the users it affects and what stays incomplete."""
    envelope = preview.envelope
    print_text(envelope.event_id, style="bold")
    print_text(f"{envelope.type} of {format_time(envelope.created_at)}, {envelope.realm}", indent=2)
    print_text(f"from: {preview.origin}", indent=2)
    _print_facts(preview)
    because = f": {preview.says}" if preview.says else ""
    print_text(f"\noutcome: {preview.outcome}{because}", style="bold")
    print_changes(preview.changes)
    _print_users(preview)
    for note in preview.notes:
        of = f" of {note.user_id}" if note.user_id else ""
        print_text(f"also {note.action}: {note.target_id}{of}", indent=2)
    _print_waiting(preview.projection)
    version = preview.catalogue_version
    plans = f", by version {version} of the plans" if version else ""
    print_text(
        f"\nDry run: nothing was changed. {envelope.event_id} would do this now{plans}.",
        style="dim",
    )


def _print_facts(preview: EventPreview) -> None:
    facts, no_facts_reason = read_facts(preview.envelope.body, preview.fetched)
    print_text("\nfacts", style="bold")
    for fact in facts:
        print_text(describe_fact(fact), indent=2)
    if not facts:
        print_text(f"nothing ({no_facts_reason})", indent=2)


def _print_users(preview: EventPreview) -> None:
    if preview.users:
        print_text("\nusers", style="bold")
        rows = [(each.user_id, _given(each.before), _given(each.after)) for each in preview.users]
        print_table(make_table(("user", "has now", "would have"), rows))


def _given(features: Mapping[str, Any]) -> str:
    words = (name if value is True else f"{name} {value}" for name, value in features.items())
    return ", ".join(words) or "nothing"


def _print_waiting(projection: Projection | None) -> None:
    sentences = list(_waiting(projection))
    if sentences:
        print_text("\nincomplete", style="bold yellow")
    for sentence in sentences:
        print_text(sentence, indent=2)


def _waiting(projection: Projection | None) -> Iterator[str]:
    """Yield a sentence for everything that would give access, or is money, and is incomplete."""
    if projection is None:
        return
    for price in sorted(projection.unknown_prices):
        yield f"{price} is in no plan: add it to the plans and run `paidup plans apply`."
    if projection.waiting:
        yield "Access or money would name no user: set metadata.user_id on the customer in Stripe."
    for subscription in sorted(projection.missing_subscriptions):
        yield f"Only a checkout would vouch for {subscription} until Stripe sends a snapshot of it."
    for customer in sorted(projection.incomplete_summaries):
        yield f"Stripe cut off the list of features of customer {customer}: set STRIPE_API_KEY."
    for key in sorted(projection.undecided):
        yield f"The order of two changes of {key} in one second would be a guess."
