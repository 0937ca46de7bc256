"""``make bench-console``: measure how fast the console answers each page, with a million events.

    python -m bench.console_pages [--users N] [--letters N] [--rounds N] [--requests N]

The stack is the one of ``paidup up``, with the shipped console and one person who is logged in.
``bench.console_data`` fills the tables. The pages are those of the console's own routes; each
request for one asks for another id. Each round asks for every page in turn, one request after
another, so a figure is what one person waits for the server. The login page, which reads nothing,
and ``/healthz`` are asked for in the same rounds; they show the share of server, generator and
machine. Figures are medians of the rounds. Exits 1 if a page's 95th percentile is not below 100 ms
or its 99th not below 200 ms.
"""

import http.client
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import cycle, islice
from pathlib import Path
from secrets import token_urlsafe
from statistics import median
from typing import Final, NamedTuple
from urllib.parse import urlencode

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from bench import console_data, load
from bench.read_api import HOST, settle
from ops.bulk.plans import REPLAY, PlanRequest, make_plan
from ops.bulk.targets import Selection
from ops.console_tokens import VARIABLE, Role, hashed_entry
from ops.demo.plans import PLANS
from ops.queries.events import EventFilter
from ops.queries.parties import OWN_REALMS
from ops.up.stack import Stack
from runtime.database.engine import engine_for
from tests.browser.page_paths import paths_of, routes_of_console

FLOORS: Final = ("/healthz", "/login")
"""What reads no data: the least that an answer takes here."""

GOALS_MS: Final[Mapping[int, float]] = {95: 100.0, 99: 200.0}
_IDS: Final = 50
_PERSON: Final = "bench"
_LOGIN_SECONDS: Final = 10.0


class PageFigures(NamedTuple):
    """Percentiles in milliseconds, each the median of its rounds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, rounds: Sequence[load.LoadAnswers]) -> "PageFigures":
        """Return the figures of one page."""
        return cls(*(median(each.percentile(p) for each in rounds) for p in (50, 95, 99)))

    @property
    def is_good(self) -> bool:
        """True if the page meets the goals."""
        return self.p95 < GOALS_MS[95] and self.p99 < GOALS_MS[99]


class NotMeasured(Exception):
    """A page was not answered as a page; the text says which, and how."""


def log_in(port: int, token: str) -> str:
    """Log in as the login page does, and return the cookie of the session.

    Raises:
        NotMeasured: the console let nobody in.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=_LOGIN_SECONDS)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"http://{HOST}:{port}",
    }
    try:
        connection.request("POST", "/login", urlencode({"token": token}), headers)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    cookie = response.getheader("Set-Cookie", "")
    if response.status != HTTPStatus.SEE_OTHER or not cookie:
        raise NotMeasured(f"the console let nobody in: it answered {response.status}")
    return cookie.partition(";")[0]


def measure(
    port: int, pages: Mapping[str, Sequence[str]], cookie: str, *, rounds: int, requests: int
) -> dict[str, PageFigures]:
    """Return the figures of each page, and of what reads no data.

    Raises:
        NotMeasured: naming a page and how it was answered.
    """
    asked = {**{path: [path] for path in FLOORS}, **pages}
    answers: defaultdict[str, list[load.LoadAnswers]] = defaultdict(list)
    for _ in range(rounds):
        for page, paths in asked.items():
            # Who is logged in is led on from the login page.
            head = "" if page in FLOORS else f"Cookie: {cookie}\r\n"
            sent = [_request(port, path, head) for path in islice(cycle(paths), requests)]
            answers[page].append(load.run(HOST, port, sent, connections=1))
            if unusual := set(answers[page][-1].statuses) - {HTTPStatus.OK}:
                raise NotMeasured(f"{page} was answered {', '.join(map(str, sorted(unusual)))}")
    return {page: PageFigures.of(each) for page, each in answers.items()}


def _request(port: int, path: str, head: str) -> bytes:
    line = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
    return f"{line}{head}Accept: text/html\r\n\r\n".encode()


def shown(figures: Mapping[str, PageFigures]) -> Table:
    """Return a line for each page, the slowest first, and the floors at the end."""
    table = Table("page", "p50 ms", "p95 ms", "p99 ms", "within the goals")
    pages = sorted(figures.keys() - set(FLOORS), key=lambda page: -figures[page].p95)
    for page in (*pages, *FLOORS):
        found = figures[page]
        good = "" if page in FLOORS else "yes" if found.is_good else "NO"
        table.add_row(page, *(f"{milliseconds:.1f}" for milliseconds in found), good)
    return table


def _pages(stack: Stack) -> dict[str, list[str]]:
    engine = engine_for(stack.owner_database_url, application_name="paidup bench")
    try:
        _plan_everything(engine)
        with engine.connect() as connection:
            found = paths_of(routes_of_console(stack.environ), connection, each=_IDS)
    finally:
        engine.dispose()
    return {page: paths for page, paths in found.items() if not page.startswith("/login")}


def _plan_everything(engine: Engine) -> None:
    """Make a plan of a replay of all dead letters, so that there is one to look at."""
    everything = Selection(ids=(), wanted=EventFilter())
    request = PlanRequest(
        action=REPLAY, actor=_PERSON, reason=_PERSON, selection=everything, realms=OWN_REALMS
    )
    make_plan(engine, request)


def _environ(folder: Path, token: str) -> Iterator[tuple[str, str]]:
    secret = folder / "console_secret"
    secret.write_text(token_urlsafe(48))
    secret.chmod(0o600)
    yield "PATH", os.environ["PATH"]
    yield "PAIDUP_LOG_LEVEL", "warning"
    yield "PAIDUP_PLANS", str(PLANS)
    yield "PAIDUP_CONSOLE_SECRET_FILE", str(secret)
    yield VARIABLE, hashed_entry(_PERSON, Role.OPERATOR, token)


@click.command()
@click.option("--users", default=console_data.USERS, show_default=True)
@click.option("--letters", default=console_data.LETTERS, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--requests", default=100, show_default=True, help="For each page in a round.")
def main(users: int, letters: int, rounds: int, requests: int) -> None:
    """Fill, measure, print, and exit 1 unless every page meets the goals."""
    say: Callable[[str], None] = Console(stderr=True).print
    token = token_urlsafe(32)
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL below it belongs to another account
        with Stack(folder / "data", dict(_environ(folder, token)), ports="free") as stack:
            console_data.fill(stack.owner_database_url, users=users, letters=letters, say=say)
            settle(stack)
            pages = _pages(stack)
            port = stack.settings.console_bind.port
            say(f"{rounds} rounds of {requests} requests for each of {len(pages)} pages")
            cookie = log_in(port, token)
            measure(port, pages, cookie, rounds=1, requests=_IDS)
            figures = measure(port, pages, cookie, rounds=rounds, requests=requests)
    Console().print(shown(figures))
    sys.exit(0 if all(figures[page].is_good for page in pages) else 1)


if __name__ == "__main__":
    main()
