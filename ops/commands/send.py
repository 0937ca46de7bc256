"""``paidup send``."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.errors import NotDone
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS
from ops.send.endpoint import Endpoint
from ops.send.load import Tally, send_all
from ops.send.render import as_document, print_report, words
from ops.send.traffic import Traffic
from ops.terminal.output import console, emit_json, json_option
from ops.up import addresses
from ops.up import up_file as upfile
from runtime.settings import Settings

SHAPES = {**{shape.value: (shape,) for shape in Shape}, "both": (Shape.OLD, Shape.NEW)}


@click.command(
    epilog="Example: paidup send --scenario all --shape both --shuffle 7 --duplicates 1",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(["all", *SCENARIOS]),
    default=["first_paid"],
    show_default=True,
    help="A lifecycle to send; may be given several times.",
)
@click.option(
    "--shape",
    type=click.Choice(list(SHAPES)),
    default="new",
    show_default=True,
    help="Where the objects have their fields: as before or since 2025-03-31.basil.",
)
@click.option("--count", type=click.IntRange(1, 10_000_000), help="How many lifecycles in all.")
@click.option("--shuffle", type=int, metavar="SEED", help="Mix the order, repeatably.")
@click.option("--duplicates", type=click.IntRange(0, 1000), default=0, help="Repeat each event.")
@click.option("--rate", type=click.FloatRange(0.01, 1e6), help="At most so many a second.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=1, help="Connections.")
@click.option("--user", help="The user of every lifecycle; without it each has its own.")
@click.option("--seed", help="Tell the same lifecycles again, with the same ids.")
@click.option("--url", help="The endpoint. Default: that of `paidup up`, else PAIDUP_INGEST_BIND.")
@click.option("--secret", help="The signing secret. Default: STRIPE_WEBHOOK_SECRET, or `up`'s.")
@click.option("--yes", is_flag=True, help="Send even to an address that is not this machine's.")
@json_option
def send(**wish: Any) -> int:
    """Send signed sample lifecycles to an endpoint, as Stripe would.

    Prices, plans and features are those of the plans that `paidup demo` uses.
    """
    return _send(Wish(**wish))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line."""

    scenarios: tuple[str, ...]
    shape: str
    count: int | None
    shuffle: int | None
    duplicates: int
    rate: float | None
    concurrency: int
    user: str | None
    seed: str | None
    url: str | None
    secret: str | None
    yes: bool
    as_json: bool


def _send(wish: Wish) -> int:
    settings = Settings.from_env(upfile.completed(os.environ))
    endpoint = _endpoint(wish.url or _default_url(settings), yes=wish.yes)
    secret = wish.secret or _default_secret(settings)
    traffic = _traffic(wish)
    _knock(endpoint)
    with _progress(traffic.deliveries) as moved:
        tally = send_all(
            traffic.events(),
            endpoint,
            secret,
            concurrency=wish.concurrency,
            rate=wish.rate,
            on_answer=moved,
        )
    if wish.as_json:
        emit_json(as_document(traffic, endpoint, tally))
    else:
        print_report(traffic, endpoint, tally, console())
    return 0 if tally.all_taken else 1


def _endpoint(url: str, *, yes: bool) -> Endpoint:
    endpoint = Endpoint.at(url)
    if not yes and not endpoint.is_loopback:
        raise NotDone(
            f"{endpoint.host} is not this machine: sample events would stand in its books;"
            " add --yes if that is what you want"
        )
    return endpoint


def _default_url(settings: Settings) -> str:
    if running := upfile.read(settings.data_dir):
        return running.webhook_url
    return f"{addresses.local_url(settings.ingest_bind)}/webhooks/stripe"


def _default_secret(settings: Settings) -> str:
    if not settings.webhook_secrets:
        raise NotDone(
            "there is no secret to sign with: give --secret, set STRIPE_WEBHOOK_SECRET,"
            " or start `paidup up` first"
        )
    return settings.webhook_secrets[0]


def _traffic(wish: Wish) -> Traffic:
    every = "all" in wish.scenarios
    traffic = Traffic(
        scenarios=tuple(SCENARIOS) if every else tuple(dict.fromkeys(wish.scenarios)),
        shapes=SHAPES[wish.shape],
        seed=wish.seed or secrets.token_hex(4),
        now=int(time.time()),
        count=wish.count or 1,
        user_id=wish.user,
        shuffle=wish.shuffle,
        duplicates=wish.duplicates,
    )
    if not traffic.kinds:
        raise NotDone(
            f"there is no {wish.scenarios[0]} in the {wish.shape} shape; use --shape old or new"
        )
    return traffic if wish.count else traffic.once_each()


def _knock(endpoint: Endpoint) -> None:
    connection = endpoint.connect()
    try:
        connection.connect()
    except OSError as error:
        raise NotDone(
            f"nothing answers at {endpoint.url} ({error}):"
            " start `paidup up`, or name the endpoint with --url"
        ) from error
    finally:
        connection.close()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Tally], None]]:
    """A bar on standard error; nothing at all where nobody looks."""
    screen = Console(stderr=True)
    said = TextColumn("{task.fields[said]}")
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), said)
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task("sending", total=total, said="")
        yield lambda tally: bar.update(task, completed=tally.sent, said=words(tally.answers))
