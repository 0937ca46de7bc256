"""``paidup send``."""

import os
import secrets
import time
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import click
from click.core import ParameterSource

from ops.errors import CommandFailed
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS
from ops.send.endpoint import Endpoint
from ops.send.event_file import EventFile, open_events
from ops.send.load import send_all
from ops.send.render import as_document, of_file, of_plan, print_report, words
from ops.send.traffic import TrafficPlan
from ops.terminal.output import json_option, print_json
from ops.terminal.progress import progress
from ops.up import addresses, up_file
from runtime.settings import Settings

_PLAN_OPTIONS = ("scenarios", "shape", "count", "seed", "user_id")
"""Options that describe sample events."""

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
    help="A lifecycle to send; repeatable.",
)
@click.option(
    "--shape",
    type=click.Choice(list(SHAPES)),
    default="new",
    show_default=True,
    help="API shape of the objects: before (old) or since 2025-03-31.basil (new).",
)
@click.option("--count", type=click.IntRange(1, 10_000_000), help="Number of lifecycles in total.")
@click.option(
    "--shuffle",
    type=int,
    metavar="SEED",
    help="Shuffle the events; the same seed gives the same order.",
)
@click.option(
    "--duplicates",
    type=click.IntRange(0, 1000),
    default=0,
    help="Send each event this many more times.",
)
@click.option("--rate", type=click.FloatRange(0.01, 1e6), help="Maximum events per second.")
@click.option(
    "--concurrency", type=click.IntRange(1, 256), default=1, help="Number of connections."
)
@click.option(
    "--file",
    metavar="EVENTS.jsonl|-",
    help="Send your own events: one JSON event a line, or what `events export` wrote.",
)
@click.option("--user", "user_id", help="One user for all lifecycles. Default: one each.")
@click.option("--seed", help="Seed of all ids: the same seed sends the same events.")
@click.option("--url", help="Endpoint. Default: that of `paidup up`, else PAIDUP_INGEST_BIND.")
@click.option("--secret", help="Signing secret. Default: STRIPE_WEBHOOK_SECRET, or that of `up`.")
@click.option("--yes", is_flag=True, help="Send even to another machine.")
@json_option
def send(
    *,
    url: str | None,
    secret: str | None,
    yes: bool,
    rate: float | None,
    concurrency: int,
    file: str | None,
    as_json: bool,
    **planned: Any,
) -> int:
    """Send signed events to an endpoint, as Stripe does: sample events, or your own.

    Prices, plans and features are those of `paidup demo`. A file is read whole before the first
    event is sent; a line that is no event is named by its number, and nothing is sent. Exits 1 if
    the endpoint did not accept every event.
    """
    if file is not None:
        _refuse_plan_options()
    settings = up_file.settings(os.environ)
    endpoint = _endpoint(url or _default_url(settings), yes=yes)
    secret = secret or _default_secret(settings)
    with ExitStack() as opened:
        traffic: TrafficPlan | EventFile
        if file is None:
            traffic = _traffic(**planned)
        else:
            traffic = opened.enter_context(_open_file(file, **planned))
        sent = of_plan(traffic) if isinstance(traffic, TrafficPlan) else of_file(traffic)
        _check_reachable(endpoint)
        with progress("sending", traffic.deliveries) as report:
            totals = send_all(
                traffic.events(),
                endpoint,
                secret,
                concurrency=concurrency,
                rate=rate,
                users=sent.users,
                on_answer=lambda totals: report(totals.sent, words(totals.answers)),
            )
    if as_json:
        print_json(as_document(sent, endpoint.url, totals))
    else:
        print_report(sent, endpoint, totals)
    return 0 if totals.all_taken else 1


def _open_file(
    file: str, *, shuffle: int | None, duplicates: int, **_: Any
) -> AbstractContextManager[EventFile]:
    return open_events(file, shuffle=shuffle, duplicates=duplicates)


def _refuse_plan_options() -> None:
    context = click.get_current_context()
    for name in _PLAN_OPTIONS:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = next(each for each in context.command.params if each.name == name)
            raise click.UsageError(f"--file sends events as they are: leave out {option.opts[0]}")


def _endpoint(url: str, *, yes: bool) -> Endpoint:
    endpoint = Endpoint.at(url)
    if not yes and not endpoint.is_loopback:
        raise CommandFailed(
            f"{endpoint.host} is another machine, whose database would keep the sample events:"
            " add --yes to send them"
        )
    return endpoint


def _default_url(settings: Settings) -> str:
    if running := up_file.read(settings.data_dir):
        return running.webhook_url
    return addresses.local_url(settings.ingest_bind) + settings.webhook_path


def _default_secret(settings: Settings) -> str:
    if not settings.webhook_secrets:
        raise CommandFailed(
            "no signing secret: give --secret, set STRIPE_WEBHOOK_SECRET,"
            " or start `paidup up` first"
        )
    return settings.webhook_secrets[0]


def _traffic(
    *, scenarios: tuple[str, ...], shape: str, count: int | None, seed: str | None, **same: Any
) -> TrafficPlan:
    traffic = TrafficPlan(
        scenarios=tuple(SCENARIOS if "all" in scenarios else dict.fromkeys(scenarios)),
        shapes=SHAPES[shape],
        seed=seed or secrets.token_hex(4),
        now=int(time.time()),
        count=count or 1,
        **same,
    )
    if not traffic.kinds:
        raise CommandFailed(f"{scenarios[0]} has no {shape} shape; use --shape old or new")
    return traffic if count else traffic.once_each()


def _check_reachable(endpoint: Endpoint) -> None:
    connection = endpoint.connect()
    try:
        connection.connect()
    except OSError as error:
        raise CommandFailed(
            f"{endpoint.url} is unreachable ({error}):"
            " start `paidup up`, or name the endpoint with --url"
        ) from error
    finally:
        connection.close()
