"""Open PostgreSQL and Redis for one command; reading commands get one read-only snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

import redis
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ops.errors import CommandFailed, first_line
from runtime import schema
from runtime.database.deadline import reading_at_length
from runtime.database.engine import make_engine
from runtime.inbox.durability import UnsupportedRedis, refuse_cluster
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.time_limits import COMMAND_REDIS_SECONDS

if TYPE_CHECKING:
    from runtime.stripe_api.budget import Caller
    from runtime.stripe_api.client import StripeApi


@contextmanager
def open_database(settings: Settings, *, application: str) -> Iterator[Engine]:
    """Yield the engine of a command; ``application`` names it to PostgreSQL.

    Raises:
        CommandFailed: the server is unreachable, or has another release's schema.
    """
    with _engine(settings, application=application) as engine:
        _refuse_other_schema(engine)
        yield engine


@contextmanager
def _engine(settings: Settings, *, application: str) -> Iterator[Engine]:
    engine = make_engine(settings, application_name=f"paidup {application}")
    try:
        yield engine
    finally:
        engine.dispose()


def _refuse_other_schema(engine: Engine) -> None:
    try:
        trouble = schema.problem(engine)
    except DBAPIError as error:
        raise unavailable("PostgreSQL", error) from error
    if trouble:
        raise CommandFailed(trouble)


@contextmanager
def read_snapshot(engine: Engine, *, patient: bool = True) -> Iterator[Connection]:
    """Yield a read-only connection whose queries all see one snapshot.

    If ``patient``, a query may take as long as it needs, and its reader may pause.

    Raises:
        CommandFailed: the server is unreachable, or has another release's schema.
    """
    _refuse_other_schema(engine)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with reading_at_length(connection) if patient else nullcontext():
            yield connection


@contextmanager
def open_snapshot(
    settings: Settings, *, application: str, patient: bool = True
) -> Iterator[Connection]:
    """Yield the only read-only connection of a command, as ``read_snapshot`` does."""
    with (
        _engine(settings, application=application) as engine,
        read_snapshot(engine, patient=patient) as opened,
    ):
        yield opened


@contextmanager
def open_inbox(settings: Settings) -> Iterator[Inbox]:
    """Yield the inbox.

    Raises:
        CommandFailed: REDIS_URL is not set, or Redis is unreachable or a cluster.
    """
    if settings.redis_url is None:
        raise CommandFailed("REDIS_URL is not set: the inbox is unknown")
    client = make_redis(settings, timeout=COMMAND_REDIS_SECONDS)
    try:
        _refuse_cluster(client)
        yield Inbox(client)
    except UnsupportedRedis as error:
        raise CommandFailed(str(error)) from error
    except redis.RedisError as error:
        raise unavailable("Redis", error) from error
    finally:
        client.close()


@contextmanager
def open_api(settings: Settings, *, caller: "Caller") -> Iterator["StripeApi"]:
    """Yield a client of Stripe's API for one thread.

    It shares the budget of all processes if ``REDIS_URL`` is set, and else keeps to it alone.
    """
    # Only a command that asks Stripe needs its library, which is large.
    from runtime.stripe_api.budget import RequestBudget  # noqa: PLC0415
    from runtime.stripe_api.client import make_api  # noqa: PLC0415

    client = make_redis(settings, timeout=COMMAND_REDIS_SECONDS) if settings.redis_url else None
    api = make_api(settings, RequestBudget(client, settings, caller=caller))
    try:
        yield api
    finally:
        api.close()
        if client is not None:
            client.close()


def _refuse_cluster(client: redis.Redis) -> None:
    with suppress(redis.ResponseError):  # a user without the right to INFO
        refuse_cluster(client)


def unavailable(server: str, error: Exception) -> CommandFailed:
    """Return the error of a server: with its address, without its password.

    A server that sent an SQLSTATE was reached.
    """
    answered = getattr(getattr(error, "orig", error), "sqlstate", None)
    trouble = "failed" if answered else "is unreachable"
    return CommandFailed(f"{server} {trouble}: {first_line(error)}; run `paidup doctor`")
