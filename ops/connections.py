"""The ways in for commands that only look: one unchanging view, and nothing can be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ops.errors import NotDone
from runtime import schema
from runtime.database.engine import make_engine
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings

REDIS_SECONDS: Final = 2.0


@contextmanager
def database(settings: Settings, *, asker: str) -> Iterator[Engine]:
    """The engine of a command, disposed when the command is done."""
    engine = make_engine(settings, application_name=f"paidup {asker}")
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """One view of the database for all questions of a command.

    Raises:
        NotDone: if the server does not answer, or its schema is not that of this release.
    """
    try:
        trouble = schema.problem(engine)
    except DBAPIError as error:
        raise away("PostgreSQL", error) from error
    if trouble:
        raise NotDone(trouble)
    with engine.connect() as connection:
        yield connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )


@contextmanager
def asking_inbox(settings: Settings) -> Iterator[Inbox]:
    """The inbox, to look into.

    Raises:
        NotDone: if Redis is not set, or does not answer one of the questions.
    """
    if settings.redis_url is None:
        raise NotDone("REDIS_URL is not set: the inbox cannot be seen")
    client = make_redis(settings, timeout=REDIS_SECONDS)
    try:
        yield Inbox(client)
    except redis.RedisError as error:
        raise away("Redis", error) from error
    finally:
        client.close()


def away(server: str, error: Exception) -> NotDone:
    """The sentence for a server that does not answer; addresses may be told, passwords are not."""
    said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
    return NotDone(f"{server} does not answer: {said}; `paidup doctor` looks closer")
