"""List the pages of the console from its own routes, each with an id that exists in a database.

A page that has a parameter and no sample here is an error: so no page is left out of a test or a
measurement because nobody added it to a list.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, text

NO_PAGES: Final = ("/v1/", "/openapi.json", "/healthz", "/readyz", "/metrics", "/assets/")
"""How the paths begin of what programs ask for."""

SAMPLES: Final[Mapping[str, str]] = {
    "customers": "SELECT stripe_customer_id FROM customers",
    "dead_letters": "SELECT event_id FROM dead_letters",
    "events": "SELECT id FROM stripe_events",
    "jobs": "SELECT id::text FROM bulk_plans",
    "overview.name": "VALUES ('backlog'), ('events'), ('lag')",
    "payments": "SELECT payment_ref FROM payments",
    "plans": "SELECT DISTINCT jsonb_object_keys(document -> 'plans') FROM catalogues",
    "purchases": "SELECT purchase_ref FROM purchases",
    "reconcile": "SELECT id::text FROM stripe_runs WHERE kind = 'reconcile'",
    "subscriptions": "SELECT stripe_subscription_id FROM subscriptions",
    "users": "SELECT DISTINCT user_id FROM user_entitlements",
    "users.grant": "SELECT DISTINCT subject FROM operator_statements WHERE kind LIKE 'grant%'",
    "users.link": "SELECT DISTINCT subject FROM operator_statements WHERE kind LIKE 'link%'",
}
"""Ids for the parameter of a page, by ``blueprint`` or, before that, ``blueprint.parameter``."""

NEEDED: Final[Mapping[str, str]] = {
    "plans.show": "?code=<code>",
    "users.ask_grant_end": "?grant=<grant>",
    "users.ask_link_end": "?link=<link>",
    "users.show": "?user_id=<user_id>",
    "users.show_changes": "?user_id=<user_id>",
    "users.show_inbox": "?user_id=<user_id>",
}
"""Queries without which a page has nothing to show, by endpoint."""

QUERIES: Final[Mapping[str, Sequence[str]]] = {
    "events.find": ("outcome=ignored", "type=charge.refunded", "about=nothing-is-called-so"),
    "search.find": ("q=usr", "q=nothing-is-called-so"),
}
"""Queries of pages that show more with one, by endpoint; each counts as one more page."""

_PARAMETER: Final = re.compile(r"<(?:[^:<>]+:)?(\w+)>")
_ROUTES_OF_PROCESS: Final = """
import json, os
from ops.console.factory import start_process
from runtime.settings import Settings

app = start_process(Settings.from_env(os.environ), 0, os.getppid())
rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
print(json.dumps([[rule.endpoint, rule.rule] for rule in rules]))
"""


class NoSample(Exception):
    """A page has a parameter for which nothing is known that exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """A page as it is registered: its endpoint in Flask, its path and the query that it needs."""

    endpoint: str
    rule: str

    @property
    def parameters(self) -> list[str]:
        """The names in the path and in the query."""
        return _PARAMETER.findall(self.rule)

    def path(self, values: Mapping[str, str]) -> str:
        """Return the path with these values."""
        return _PARAMETER.sub(lambda found: quote(values[found[1]], safe=""), self.rule)


def routes_of_console(environ: Mapping[str, str]) -> list[PageRoute]:
    """Return the pages that a console with these settings has, without the read API and assets.

    The application is built as the server builds it, in a process that ends at once.
    """
    done = subprocess.run(
        [sys.executable, "-c", _ROUTES_OF_PROCESS],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    routes = (
        PageRoute(endpoint=endpoint, rule=rule + NEEDED.get(endpoint, ""))
        for endpoint, rule in json.loads(done.stdout)
    )
    return sorted(page_routes(routes), key=lambda route: route.rule)


def page_routes(routes: Iterable[PageRoute]) -> Iterator[PageRoute]:
    """Yield those of the routes that people look at."""
    return (route for route in routes if not route.rule.startswith(NO_PAGES))


def paths_of(
    routes: Iterable[PageRoute], connection: Connection, *, each: int = 1
) -> dict[str, list[str]]:
    """Return ``each`` path for every page, by its rule and its query, with ids that exist.

    Raises:
        NoSample: naming the route.
    """
    paths: dict[str, list[str]] = {}
    for route in routes:
        found = [_values(route, name, connection, each) for name in route.parameters]
        paths[route.rule] = [
            route.path(dict(zip(route.parameters, values, strict=True)))
            for values in zip(*found, strict=False)
        ] or [route.rule]
        for query in QUERIES.get(route.endpoint, ()):
            paths[f"{route.rule}?{query}"] = [f"{path}?{query}" for path in paths[route.rule]]
    return paths


def _values(route: PageRoute, parameter: str, connection: Connection, most: int) -> list[str]:
    subject = route.endpoint.partition(".")[0]
    query = SAMPLES.get(f"{subject}.{parameter}") or SAMPLES.get(subject)
    if query is None:
        raise NoSample(f"{route.rule} ({route.endpoint}): add {subject}.{parameter} to SAMPLES")
    # In an order of no meaning, and the same in each run.
    some = f"SELECT * FROM ({query}) AS found (id) ORDER BY md5(id) LIMIT {most:d}"  # noqa: S608
    values = list(connection.execute(text(some)).scalars())
    if not values:
        raise NoSample(f"{route.rule} ({route.endpoint}): `{query}` found nothing")
    return values
