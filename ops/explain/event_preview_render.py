"""Print the preview of an event, or turn it into JSON values."""

from collections.abc import Iterator
from typing import Final

from billing.ids import stripe_id_of
from billing.rows import NoGrant, Projection
from ops.events.facts_text import print_facts, read_facts
from ops.explain.event_preview import EventPreview, UserEffect
from ops.replay.render import changes_document, print_changes
from ops.terminal.formats import format_features, format_time
from ops.terminal.output import (
    Columns,
    Json,
    pick_fields,
    print_rows,
    print_section,
    print_text,
    to_json,
)


def event_preview_document(preview: EventPreview) -> Json:
    """Return the preview as JSON values."""
    envelope = preview.envelope
    facts, no_facts_reason = read_facts(envelope.body, preview.observations)
    return {
        "dry_run": True,
        "event": {
            "id": envelope.event_id,
            **pick_fields(envelope, "type", "api_version", "created_at", "realm"),
        },
        "from": preview.origin,
        "would_be": preview.outcome,
        "because": preview.says or None,
        "facts": [dict(fact) for fact in facts],
        "no_facts_reason": None if facts else no_facts_reason,
        "users": to_json(preview.users),
        **changes_document(preview.changes),
        "also": [
            pick_fields(note, "action", "target_type", "target_id", "user_id")
            for note in preview.notes
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
    print_facts("facts", *read_facts(envelope.body, preview.observations))
    because = f": {preview.says}" if preview.says else ""
    print_text(f"\noutcome: {preview.outcome}{because}", style="bold")
    print_changes(preview.changes)
    print_rows(_USER_COLUMNS, preview.users, title="users")
    for note in preview.notes:
        of = f" of {note.user_id}" if note.user_id else ""
        print_text(f"also {note.action}: {note.target_id}{of}", indent=2)
    print_section("incomplete", _waiting(preview.projection))
    version = preview.catalogue_version
    plans = f", by version {version} of the plans" if version else ""
    print_text(
        f"\nDry run: nothing was changed. {envelope.event_id} would do this now{plans}.",
        style="dim",
    )


def _undecided_users(projection: Projection) -> Iterator[str]:
    for source, users in sorted(projection.candidates.items()):
        if users:
            yield f"The user of {source} would be {' or '.join(users)}: nothing decides which."


def _waiting(projection: Projection | None) -> Iterator[str]:
    """Yield a sentence for everything that would give access, or is money, and is incomplete."""
    if projection is None:
        return
    yield from _noted(projection)
    if projection.waiting:
        yield (
            "Access or money would name no user: set metadata.user_id on the customer in Stripe, or"
            " say whose it is once the event is here: `paidup links waiting` shows it."
        )
    yield from _undecided_users(projection)
    for subscription in sorted(projection.missing_subscriptions):
        yield f"Only a checkout would vouch for {subscription} until Stripe sends a snapshot of it."
    for payment in sorted(projection.awaiting_invoice):
        yield f"{payment} would wait for its invoice: enable invoice.paid on the endpoint."
    for checkout in sorted(projection.without_line_items):
        yield f"What {checkout} sold and how many would be assumed: set STRIPE_API_KEY."
    yield from _cut_lists(projection)
    for key in sorted(projection.undecided):
        yield f"The order of two changes of {key} in one second would be a guess."


def _noted(projection: Projection) -> Iterator[str]:
    """Yield a sentence for what was paid for and would grant nothing, unless that is meant so."""
    todo = "add it to the plans and run `paidup plans apply --reason WHY`"
    says = {
        NoGrant.UNKNOWN_PRICE: f"is in no plan: {todo}",
        NoGrant.FORMER_PRICE: f"is only in an earlier version of the plans: {todo}",
        NoGrant.KEPT_PRICE: f"is in no plan, so its subscription keeps what it had: {todo}",
        NoGrant.EMPTY_PLAN: "is a plan without features",
        NoGrant.UNNAMED: "is paid and names no price and no plan",
    }
    for name, why in sorted(projection.without_grant.items()):
        if why in says:
            yield f"{name} {says[why]}."


def _cut_lists(projection: Projection) -> Iterator[str]:
    lists = {
        "features of customer": projection.incomplete_summaries,
        "items of": map(stripe_id_of, projection.incomplete_items),
        "lines of": map(stripe_id_of, projection.incomplete_lines),
    }
    for name, cut in lists.items():
        for stripe_id in sorted(cut):
            yield f"Stripe cut off the list of {name} {stripe_id}: set STRIPE_API_KEY."


_USER_COLUMNS: Final[Columns[UserEffect]] = {
    "user": lambda each: each.user_id,
    "has now": lambda each: format_features(each.before) or "nothing",
    "would have": lambda each: format_features(each.after) or "nothing",
}
