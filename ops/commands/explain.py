"""``paidup explain``."""

import os
from datetime import datetime

import click
from sqlalchemy import Connection

from billing.text import storable
from ops import connections as doors
from ops.errors import NotDone
from ops.explain.as_of import PastReason, explain_past, features_then
from ops.explain.as_of_render import past_document, print_past
from ops.explain.event_preview import suppose
from ops.explain.event_preview_render import print_supposition, supposition_document
from ops.explain.reasons import Answer, Explanation, explain, features_of, features_sold
from ops.explain.render import as_document, print_explanation
from ops.queries.audit_history import History, clock, history_of
from ops.queries.ineffective_events import unheeded
from ops.queries.parties import is_known
from ops.queries.user_state import Standing, standing_of
from ops.terminal.formats import Moment, stamp
from ops.terminal.output import emit_json, json_option
from ops.up.up_file import settings as find_settings
from runtime.settings import Settings


@click.command("explain", epilog="Example: paidup explain usr_123 max_devices")
@click.argument("user", required=False)
@click.argument("feature", required=False)
@click.option(
    "--at", type=Moment(), help="As it was then: 2026-11-22T12:00+01:00, 2026-11-22, 2h, 3d."
)
@click.option(
    "--event", metavar="FILE|ID", help="What an event would do: a JSON body, - for stdin, or an id."
)
@json_option
def command(
    *,
    user: str | None,
    feature: str | None,
    at: datetime | None,
    event: str | None,
    as_json: bool,
) -> None:
    """Say why USER may or may not use FEATURE, or everything the user has or had.

    Names the plan, the subscription or purchase, the event that decided, the payment that paid,
    until when it holds, what would end it, and what waits. With --at it tells what the user could
    use at a moment that is over, and which entries of the audit say so. With --event it tells
    what an event would do, signed or not, and changes nothing.
    """
    if (user is None) == (event is None) or (event is not None and at is not None):
        raise click.UsageError("name a user, with or without --at; or give --event alone")
    settings = find_settings(os.environ, "DATABASE_URL")
    if user is None:
        _if_it_came(settings, event or "", as_json=as_json)
        return
    user, feature = storable(user), feature and storable(feature)
    if at is None:
        _now(settings, user, feature, as_json=as_json)
    else:
        _then(settings, user, feature, at, as_json=as_json)


def _if_it_came(settings: Settings, event: str, *, as_json: bool) -> None:
    with doors.database(settings, asker="explain") as engine:
        supposed = suppose(settings, engine, event)
    if as_json:
        emit_json(supposition_document(supposed))
    else:
        print_supposition(supposed)


def _now(settings: Settings, user: str, feature: str | None, *, as_json: bool) -> None:
    with doors.database(settings, asker="explain") as engine, doors.snapshot(engine) as connection:
        explanation = _explain(connection, user, feature)
    if as_json:
        emit_json(as_document(explanation))
    else:
        print_explanation(explanation)


def _explain(connection: Connection, user: str, feature: str | None) -> Explanation:
    _refuse_unknown_user(connection, user)
    standing = standing_of(connection, user)
    return explain(standing, [_known(standing, feature)] if feature else features_of(standing))


def _refuse_unknown_user(connection: Connection, user: str) -> None:
    if is_known(connection, user):
        return
    if without := unheeded(connection, user):
        raise NotDone(
            f"nobody here is called {user!r}: {without[0].event_id} names that user and has no"
            f" effect ({without[0].why}); `paidup events show {without[0].event_id}` says more"
        )
    raise NotDone(
        f"nobody here is called {user!r}: no event ever named that user;"
        " `paidup events list --customer cus_...` finds what came for a Stripe customer"
    )


def _known(standing: Standing, feature: str) -> str:
    return _among(feature, {*features_of(standing), *features_sold(standing.catalogue)})


def _among(feature: str, known: set[str]) -> str:
    if feature not in known:
        there_are = ", ".join(sorted(known)) or "none at all"
        raise NotDone(f"no plan gives a feature {feature!r}; there are: {there_are}")
    return feature


def _then(
    settings: Settings, user: str, feature: str | None, at: datetime, *, as_json: bool
) -> None:
    with doors.database(settings, asker="explain") as engine, doors.snapshot(engine) as connection:
        if at > clock(connection):
            raise click.UsageError(
                f"{stamp(at)} lies ahead: leave --at out, and see until when what is given holds"
            )
        _refuse_unknown_user(connection, user)
        history = history_of(connection, user, at)
    answers = _answers(history, feature)
    if as_json:
        emit_json(past_document(history, answers))
    else:
        print_past(history, answers)


def _answers(history: History, feature: str | None) -> tuple[Answer[PastReason], ...]:
    if not history.entries:
        raise NotDone(_nothing_yet(history))
    if feature is None:
        return explain_past(history, features_then(history))
    known = {*history.features_ever, *features_sold(history.plans)}
    return explain_past(history, [_among(feature, known)])


def _nothing_yet(history: History) -> str:
    if history.first is None:
        return f"the audit has no entry about access of {history.user_id}: there never was any"
    since = stamp(history.first.at)
    return (
        f"at {stamp(history.at)} nothing was on record about access of {history.user_id}: the"
        f" audit begins at {since} with entry {history.first.id}, {history.first.action}"
    )
