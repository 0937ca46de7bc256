"""``paidup compare``."""

import os
from pathlib import Path

import click

from ops import connections
from ops.compare.current_file import read_file
from ops.compare.current_query import read_query
from ops.compare.render import comparison_document, print_comparison
from ops.compare.run import compare as compare_lists
from ops.compare.sorted_rows import sorting
from ops.queries.parties import configured_realms
from ops.terminal.output import json_option, print_json
from ops.up.up_file import settings as find_settings


@click.command(epilog="Example: paidup compare --current access.csv --json | jq .counts")
@click.option(
    "--current",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="What your application grants: CSV with the columns user_id, feature and value, or JSON"
    " Lines; - is standard input.",
)
@click.option(
    "--sql",
    metavar="QUERY",
    help="A query with these columns for PAIDUP_APPLICATION_DATABASE_URL; @FILE reads it from a"
    " file.",
)
@click.option("--wide", is_flag=True, help="The list has user_id and one column for each feature.")
@click.option(
    "--limit",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    help="Number of differences of each class to list; all are counted.",
)
@json_option
def compare(*, current: str | None, sql: str | None, wide: bool, limit: int, as_json: bool) -> int:
    """Compare what Paidup would grant with what your application grants today.

    Each feature of each user is in one class: same, ours more, ours less, theirs only, ours only,
    unlike (not comparable), unknown user, or changed within the hour. Each difference has its
    reasons, as `paidup explain` gives them. Changes nothing, here or there. Exits 0 if nothing
    differs but what changed within the hour, else 1.
    """
    if (current is None) == (sql is None):
        raise click.UsageError("give either --current FILE or --sql QUERY")
    settings = find_settings(os.environ, "DATABASE_URL")
    if current is not None:
        rows = read_file(current, wide=wide)
    else:
        rows = read_query(settings.application_database_url, _query(sql or ""), wide=wide)
    with sorting() as listed:
        listed.load(rows)
        with connections.open_snapshot(settings, application="compare") as connection:
            realms = configured_realms(settings)
            comparison = compare_lists(connection, listed, realms, limit=limit)
    if as_json:
        print_json(comparison_document(comparison))
    else:
        print_comparison(comparison)
    return 0 if comparison.agrees else 1


def _query(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{given[1:]} cannot be read: {error}") from error
