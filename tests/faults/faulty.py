"""Faults that are installed in a real process, by name, before it starts its work.

The environment variable ``FAULTS`` names them. A fault with a limit burns a fuse each time: a file
in ``FAULT_FOLDER`` that only one process can create. So it happens exactly so often over all
processes.
"""

import ctypes
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from kombu.transport.redis import QoS
from sqlalchemy.engine.default import DefaultDialect

import runtime.broker
import runtime.inbox.encoding
import runtime.inbox.inbox
import runtime.ledger.record as recording
import runtime.ledger.statements as stating
import workers.batches.decode
import workers.drain.pool
from runtime.broker import WakePublisher
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from workers.supervisor.sweeper import SweeperLease

POISON = "poison"
"""Part of the id of an event that harms its worker."""

DEATH = 9
LONG_LEASE = timedelta(minutes=10)


def install() -> None:
    """Install the faults that the environment names."""
    for name in os.environ.get("FAULTS", "").split():
        FAULTS[name]()


def burn(fuse: str, times: int = 1) -> bool:
    """Return True if the fault happens now: ``times`` times over all processes."""
    for number in range(times):
        try:
            Path(os.environ["FAULT_FOLDER"], f"{fuse}.{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


def wrap(
    owner: Any,
    name: str,
    *,
    before: Callable[..., None] = lambda *_, **__: None,
    after: Callable[..., None] = lambda *_, **__: None,
) -> None:
    """Call ``before`` and ``after`` around every call of a function."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before(*args, **kwargs)
        answer = original(*args, **kwargs)
        after(*args, **kwargs)
        return answer

    setattr(owner, name, wrapped)


def _die(fuse: str, times: int, *_: Any, **__: Any) -> None:
    if burn(fuse, times):
        os._exit(DEATH)


def _freeze(fuse: str, *_: Any, **__: Any) -> None:
    if burn(fuse):
        Path(os.environ["FAULT_FOLDER"], "frozen").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)


# Points at which a process dies or freezes ------------------------------------------------------


def die_in_the_pop_window() -> None:
    """Die after Redis handed out the message, before Celery has stored that it holds it."""
    wrap(QoS, "append", before=partial(_die, "pop", 2))


def die_before_commit() -> None:
    """Die with all rows written and none committed."""
    wrap(recording, "write", after=partial(_die, "before_commit", 3))


def die_after_commit() -> None:
    """Die after COMMIT in PostgreSQL, before the inbox knows."""
    wrap(Inbox, "finish", before=partial(_die, "after_commit", 2))


def die_before_discard() -> None:
    """Die with the dead letter written and the event still in the inbox."""
    wrap(Inbox, "discard", before=partial(_die, "before_discard", 1))


def die_before_dead_letter() -> None:
    """Die when an event is to be a dead letter, before the letter is written."""
    wrap(workers.drain.pool, "dead_letter", before=partial(_die, "before_dead_letter", 1))


def freeze_before_record() -> None:
    """Freeze; the zombie will record events that another worker has recorded meanwhile."""
    wrap(Ledger, "record", before=partial(_freeze, "freeze"))


def freeze_before_commit() -> None:
    """Freeze in the middle of a transaction, with all its locks held."""
    wrap(recording, "write", after=partial(_freeze, "freeze"))


def freeze_after_commit() -> None:
    """Freeze; the zombie will finish events that another worker has finished meanwhile."""
    wrap(Inbox, "finish", before=partial(_freeze, "freeze"))


def lose_the_answer_to_commit() -> None:
    """Break the connection after COMMIT, before its answer arrives."""
    commit: Any = DefaultDialect.do_commit
    recorded: list[int] = []
    wrap(recording, "_write", after=lambda *_: recorded.append(1))

    def do_commit(dialect: DefaultDialect, connection: Any) -> None:
        commit(dialect, connection)
        if recorded and burn("lost_answer", 2):
            recorded.clear()
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def _die_at_statement(number: int, *, committed: bool) -> None:
    """Die once at a COMMIT of what a person states, not before its number in this process."""
    stated: list[int] = []
    commits: list[int] = []

    def count(*_: Any) -> None:
        commits.extend(stated[:1])
        stated.clear()

    def die(*_: Any) -> None:
        if len(commits) >= number and burn("statement"):
            os.kill(os.getpid(), signal.SIGKILL)

    wrap(DefaultDialect, "do_commit", **{"after" if committed else "before": die})
    wrap(DefaultDialect, "do_commit", before=count)
    wrap(DefaultDialect, "do_rollback", after=lambda *_: stated.clear())
    wrap(stating, "write", after=lambda *_: stated.append(1))


def die_before_accept() -> None:
    """Die when ingest has read the event and stored it nowhere."""
    wrap(Inbox, "accept", before=partial(_die, "before_accept", 1))


def die_after_accept() -> None:
    """Die with the event in the inbox, before the wake-up and the answer."""
    wrap(Inbox, "accept", after=partial(_die, "after_accept", 1))


def die_after_publish() -> None:
    """Die after the wake-up, before the answer."""
    wrap(WakePublisher, "publish", after=partial(_die, "after_publish", 1))


def die_at_random() -> None:
    """Die in two of five batches, before the transaction or after COMMIT.

    A batch of one seldom dies: three crashes alone rightly make an event a dead letter.
    """
    chance = random.Random(f"{os.environ['FAULT_SEED']}/{os.getpid()}")  # noqa: S311 - drawn again

    def die(batch: Sequence[object]) -> None:
        if chance.random() < (0.4 if len(batch) > 1 else 0.01) and burn("random", 15):
            os._exit(DEATH)

    wrap(Ledger, "record", before=lambda _, deliveries, *__: die(deliveries))
    wrap(Inbox, "finish", before=lambda *arguments, **_: die(arguments[2]))


# Events that harm their worker ------------------------------------------------------------


def _poisonous(harm: Callable[[], None]) -> None:
    def meet(_ledger: Ledger, deliveries: Sequence[Delivery], _lock_seconds: float) -> None:
        if any(POISON in delivery.envelope.event_id for delivery in deliveries):
            harm()

    wrap(Ledger, "record", before=meet)


def _segfault() -> None:
    ctypes.string_at(0)


def _eat_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    eaten = [bytearray(1 << 28) for _ in range(8)]
    del eaten[:]


# Time limits that are not production's ---------------------------------------------------------


def long_lease() -> None:
    """Extend the lease beyond the length of any test, to show that something else ends a claim."""
    defaults = Inbox.__init__.__kwdefaults__
    assert defaults is not None
    defaults["lease"] = LONG_LEASE


def short_time_limit() -> None:
    """Kill a task that hangs after 8 s, because four kills after 60 s would take four minutes.

    It outlasts a drain and a lock, as production's does.
    """
    runtime.broker._WORKER["task_time_limit"] = 8


def newer_release() -> None:
    """Act as the next release: write entries of version 2, read versions 1 and 2."""
    runtime.inbox.encoding.VERSION = 2  # type: ignore[attr-defined]
    runtime.inbox.inbox.VERSION = 2  # type: ignore[attr-defined]
    workers.batches.decode.KNOWN_VERSIONS = frozenset({1, 2})  # type: ignore[misc]


def no_sweeper_lease() -> None:
    """Let every supervisor sweep."""

    def hold(self: SweeperLease) -> bool:
        return True

    SweeperLease.hold = hold  # type: ignore[method-assign]


def slow() -> None:
    """Make a batch long enough for a fault in its middle."""
    wrap(recording, "write", after=lambda *_: time.sleep(0.1))


def very_slow() -> None:
    """Make a batch take 2 s."""
    wrap(Ledger, "record", before=lambda *_: time.sleep(2))


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        die_in_the_pop_window,
        die_before_commit,
        die_after_commit,
        die_before_discard,
        die_before_dead_letter,
        freeze_before_record,
        freeze_before_commit,
        freeze_after_commit,
        lose_the_answer_to_commit,
        die_before_accept,
        die_after_accept,
        die_after_publish,
        die_at_random,
        long_lease,
        short_time_limit,
        newer_release,
        no_sweeper_lease,
        slow,
        very_slow,
    )
} | {
    "die_before_statement": partial(_die_at_statement, 1, committed=False),
    "die_after_statement": partial(_die_at_statement, 1, committed=True),
    "die_before_second_statement": partial(_die_at_statement, 2, committed=False),
    "die_after_second_statement": partial(_die_at_statement, 2, committed=True),
    "poison_exit": partial(_poisonous, lambda: os._exit(DEATH)),
    "poison_segv": partial(_poisonous, _segfault),
    "poison_kill": partial(_poisonous, lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "poison_memory": partial(_poisonous, _eat_memory),
    "poison_hang": partial(_poisonous, lambda: time.sleep(3600)),
}
