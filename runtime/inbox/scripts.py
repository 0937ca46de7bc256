"""Assemble and run the Lua scripts. Each is atomic and takes one round trip.

A script that starts with ``--!use a b`` gets the files ``a.lua`` and ``b.lua`` prepended, and the
time limits that any of them names.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

import redis
from redis.exceptions import NoScriptError

from runtime.inbox.replicas import Argument, ReplicaWait, TooFewReplicas
from runtime.time_limits import (
    APART,
    ARRIVAL_SPAN,
    BUDGET_AHEAD,
    BUDGET_BULK_AHEAD,
    BUDGET_RAISED,
    BUDGET_SLOWED,
    CLOCK_SLACK,
    ENDED_REST,
    GROWTH_NOTED,
    GROWTH_SPAN,
    LONGEST_WAIT_SECONDS,
    MAX_BREAKER,
    MAX_DELAY,
    MAX_FETCH_REST,
    MAX_REST_SECONDS,
    MIN_FETCH_REST,
    SETTLED_KEPT,
    WAKE_MESSAGE_SECONDS,
)

_USE: Final = "--!use "

_LIMITS: Final[Mapping[str, timedelta]] = {
    "APART_MS": APART,
    "ARRIVAL_SPAN_MS": ARRIVAL_SPAN,
    "BUDGET_AHEAD_MS": BUDGET_AHEAD,
    "BUDGET_BULK_AHEAD_MS": BUDGET_BULK_AHEAD,
    "BUDGET_RAISED_MS": BUDGET_RAISED,
    "BUDGET_SLOWED_MS": BUDGET_SLOWED,
    "CLOCK_SLACK_MS": CLOCK_SLACK,
    "ENDED_REST_MS": ENDED_REST,
    "GROWTH_NOTED_MS": GROWTH_NOTED,
    "GROWTH_SPAN_MS": GROWTH_SPAN,
    "LONGEST_WAIT_MS": timedelta(seconds=LONGEST_WAIT_SECONDS),
    "MAX_REST_MS": timedelta(seconds=MAX_REST_SECONDS),
    "MAX_BREAKER_MS": MAX_BREAKER,
    "MAX_DELAY_MS": MAX_DELAY,
    "MAX_FETCH_REST_MS": MAX_FETCH_REST,
    "MIN_FETCH_REST_MS": MIN_FETCH_REST,
    "SETTLED_KEPT_MS": SETTLED_KEPT,
    "WAKE_MESSAGE_MS": timedelta(seconds=WAKE_MESSAGE_SECONDS),
}
"""The time limits that scripts name, each in milliseconds there."""

_MILLISECOND: Final = timedelta(milliseconds=1)


def source(name: str) -> str:
    """Return the full text of a script: its time limits, the files that it uses, and itself."""
    text = _file(name)
    first = text.partition("\n")[0]
    used = first.removeprefix(_USE).split() if first.startswith(_USE) else []
    files_and_text = "\n".join([*map(_file, used), text])
    named = sorted(set(re.findall(r"\w+_MS\b", files_and_text)))
    limits = [f"local {limit} = {_LIMITS[limit] // _MILLISECOND}" for limit in named]
    return "\n".join([*limits, files_and_text])


def _file(name: str) -> str:
    return files("runtime.inbox").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


@cache
def _digest(name: str) -> str:
    return sha1(source(name).encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """Run scripts by their digest, and send the text if the server does not know it."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.prefix = prefix
        self._client = client

    def run(self, name: str, *arguments: Argument) -> Any:
        """Run one script and return its answer."""
        try:
            return self._ask("EVALSHA", _digest(name), 0, self.prefix, *arguments)
        except NoScriptError:
            return self._ask("EVAL", source(name), 0, self.prefix, *arguments)

    def run_on_replicas(self, wait: ReplicaWait, name: str, *arguments: Argument) -> Any:
        """Run one script that writes, and wait until enough replicas have what it wrote.

        Script and wait are one round trip on one connection: a wait on another one, or after no
        write, waits for nothing.

        Raises:
            TooFewReplicas: the script took effect on the primary, but not on enough replicas.
        """
        try:
            return self._ask_and_wait(wait, "EVALSHA", _digest(name), 0, self.prefix, *arguments)
        except NoScriptError:
            return self._ask_and_wait(wait, "EVAL", source(name), 0, self.prefix, *arguments)

    def _ask_and_wait(self, wait: ReplicaWait, *command: Argument) -> Any:
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands([command, *wait.commands()]))
            answer = connection.read_response()
            wait.read(connection)
        except TooFewReplicas:
            raise
        except BaseException:
            connection.disconnect()  # the answers to the wait may still be on their way
            raise
        finally:
            pool.release(connection)
        return answer

    def _ask(self, *command: Argument) -> Any:
        # Goes around the client, straight to its pool. The retries, metrics and options around each
        # command are of no use to a script, and took a third of its time.
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            pool.release(connection)
