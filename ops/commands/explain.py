"""``paidup explain``."""

import os
from collections.abc import Sequence
from datetime import datetime

import click
from sqlalchemy import Connection

from billing.ids import Realm
from billing.text import storable
from ops import connections
from ops.errors import CommandFailed
from ops.explain import reasons
from ops.explain.as_of import describe_no_entries, explain_as_of, features_as_of
from ops.explain.event_preview import preview_event
from ops.explain.event_preview_render import event_preview_document, print_event_preview
from ops.explain.render import as_of_document, print_as_of, print_explanation
from ops.queries.audit_history import database_now, load_access_history
from ops.queries.lookups import Lookup, describe_missing, look_up_one
from ops.queries.parties import configured_realms
from ops.queries.user_state import load_user_state
from ops.queries.waiting_events import InboxSearch, waiting_events
from ops.terminal.formats import TimeParam, format_time
from ops.terminal.output import json_option, print_json, to_json
from ops.up.up_file import settings as find_settings
from runtime.settings import Settings


@click.command(epilog="Example: paidup explain usr_123 max_devices")
@click.argument("user", required=False)
@click.argument("feature", required=False)
@click.option(
    "--at",
    type=TimeParam(),
    help="Explain a past time: 2026-11-22T12:00+01:00, 2026-11-22, 2h, 3d.",
)
@click.option(
    "--event",
    metavar="FILE|ID",
    help="Preview an event: a JSON file, an event id, or - for standard input.",
)
@json_option
def explain(
    *,
    user: str | None,
    feature: str | None,
    at: datetime | None,
    event: str | None,
    as_json: bool,
) -> None:
    """Explain why USER has FEATURE or not; without FEATURE, explain every feature.

    USER is your id of a user, an id of Stripe (cus_, sub_, pi_, in_, cs_) or an e-mail address; a
    name or a value of metadata lists the customers that bear it.
    Shows the plan, the subscription or purchase, the deciding event, the payment, when the access
    ends and why, and what is still pending. --at explains a past time from the audit log. --event
    previews an event, signed or not, and changes nothing.
    """
    if (user is None) == (event is None) or (event is not None and at is not None):
        raise click.UsageError("name a user, with or without --at; or give --event alone")
    settings = find_settings(os.environ, "DATABASE_URL")
    if user is None:
        _preview_event(settings, event or "", as_json=as_json)
        return
    user, feature = storable(user), feature and storable(feature)
    if at is None:
        _explain_now(settings, user, feature, as_json=as_json)
    else:
        _explain_past(settings, user, feature, at, as_json=as_json)


def _preview_event(settings: Settings, event: str, *, as_json: bool) -> None:
    with connections.open_database(settings, application="explain") as engine:
        preview = preview_event(settings, engine, event)
    if as_json:
        print_json(event_preview_document(preview))
    else:
        print_event_preview(preview)


def _explain_now(settings: Settings, text: str, feature: str | None, *, as_json: bool) -> None:
    realms = configured_realms(settings)
    with connections.open_snapshot(settings, application="explain") as connection:
        lookup = _find(connection, realms, text)
        inbox = _search_inbox(settings, connection, realms, lookup)
        state = load_user_state(connection, lookup, realms)
    known = {*reasons.features_of(state), *reasons.features_sold(state.catalogue)}
    features = [_require(feature, known)] if feature else reasons.features_of(state)
    explanation = reasons.explain(state, lookup, features, inbox)
    if as_json:
        print_json(to_json(explanation))
    else:
        print_explanation(explanation)


def _find(connection: Connection, realms: Sequence[Realm], text: str) -> Lookup:
    if text.startswith("evt_"):
        raise click.UsageError(f"{text} is an event: `paidup events show {text}` shows it")
    return look_up_one(connection, realms, text)


def _search_inbox(
    settings: Settings, connection: Connection, realms: Sequence[Realm], lookup: Lookup
) -> InboxSearch:
    try:
        with connections.open_inbox(settings) as inbox:
            return InboxSearch(events=waiting_events(connection, inbox, realms, lookup))
    except CommandFailed as error:
        return InboxSearch(error=str(error))


def _explain_past(
    settings: Settings, text: str, feature: str | None, at: datetime, *, as_json: bool
) -> None:
    realms = configured_realms(settings)
    with connections.open_snapshot(settings, application="explain") as connection:
        if at > database_now(connection):
            raise click.UsageError(
                f"{format_time(at)} is in the future: without --at, explain shows when access ends"
            )
        lookup = _find(connection, realms, text)
        history = load_access_history(connection, lookup.user, at)
    if not history.entries and not lookup.users and (missing := describe_missing(lookup)):
        raise CommandFailed(missing)
    if not history.entries:
        raise CommandFailed(describe_no_entries(history))
    known = {*history.features_ever, *reasons.features_sold(history.plans)}
    features = [_require(feature, known)] if feature else features_as_of(history)
    answers = explain_as_of(history, features)
    if as_json:
        print_json(as_of_document(history, answers))
    else:
        print_as_of(history, answers)


def _require(feature: str, known: set[str]) -> str:
    if feature not in known:
        there_are = ", ".join(sorted(known)) or "none"
        raise CommandFailed(f"no plan has a feature {feature!r}; features: {there_are}")
    return feature
