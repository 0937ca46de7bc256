"""``paidup explain``."""

import os

import click
from sqlalchemy import Connection

from billing.text import storable
from ops.errors import NotDone
from ops.explaining import Explanation, explain, features_of, features_sold
from ops.explanation_report import as_document, print_explanation
from ops.output import emit_json, json_option
from ops.queries import doors
from ops.queries.belonging import is_known
from ops.queries.standing import Standing, standing_of
from ops.upfile import settings as find_settings


@click.command("explain", epilog="Example: paidup explain usr_123 max_devices")
@click.argument("user")
@click.argument("feature", required=False)
@json_option
def command(*, user: str, feature: str | None, as_json: bool) -> None:
    """Say why USER may or may not use FEATURE, or everything the user has or had.

    Names the plan, the subscription or purchase, the event that decided, the payment that paid,
    until when it holds, what would end it, and what waits.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    with doors.database(settings, asker="explain") as engine, doors.snapshot(engine) as connection:
        explanation = _explain(connection, storable(user), feature and storable(feature))
    if as_json:
        emit_json(as_document(explanation))
    else:
        print_explanation(explanation)


def _explain(connection: Connection, user: str, feature: str | None) -> Explanation:
    if not is_known(connection, user):
        raise NotDone(
            f"nobody here is called {user!r}: no event ever named that user;"
            " `paidup events list --customer cus_...` finds what came for a Stripe customer"
        )
    standing = standing_of(connection, user)
    return explain(standing, [_known(standing, feature)] if feature else features_of(standing))


def _known(standing: Standing, feature: str) -> str:
    known = sorted({*features_of(standing), *features_sold(standing.catalogue)})
    if feature not in known:
        there_are = ", ".join(known) or "none at all"
        raise NotDone(f"no plan gives a feature {feature!r}; there are: {there_are}")
    return feature
