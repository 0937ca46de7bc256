"""Faults that a real process is given from outside, by name, before it starts its work.

``FAULTS`` names them. What strikes only so often burns a fuse: a file in ``FAULT_FOLDER`` that
only one process can create, so that exactly so many deaths happen whoever they meet.
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
import runtime.database.engine
import runtime.inbox.encoding
import runtime.inbox.inbox
import runtime.ledger.record as recording
import workers.drain.decode
import workers.drain.pool
import workers.drain.retry_policy
from runtime.broker import Wakes
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from workers.supervisor.sweeper import SweeperLock

POISON = "poison"
"""Part of the id of an event that harms its worker."""

DEATH = 9
SHORT_LEASE = timedelta(seconds=2.5)
LONG_LEASE = timedelta(minutes=10)


def install() -> None:
    """Build in what the environment names."""
    for name in os.environ.get("FAULTS", "").split():
        FAULTS[name]()


def burn(fuse: str, times: int = 1) -> bool:
    """Whether the fault strikes now: so many times over all processes, then never again."""
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
    """Let something happen around every call of a function."""
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


# Where a process dies or freezes -----------------------------------------------------------


def die_in_the_pop_window() -> None:
    """After Redis handed the message out, before Celery has written down that it holds it."""
    wrap(QoS, "append", before=partial(_die, "pop", 2))


def die_before_commit() -> None:
    """With everything written, nothing committed."""
    wrap(recording, "write", after=partial(_die, "before_commit", 3))


def die_after_commit() -> None:
    """Everything is true in PostgreSQL, and Redis knows nothing of it."""
    wrap(Inbox, "finish", before=partial(_die, "after_commit", 2))


def die_before_discard() -> None:
    """The dead letter is written, and the event is still in the inbox."""
    wrap(Inbox, "discard", before=partial(_die, "before_discard", 1))


def die_before_burial() -> None:
    """The event was judged dead, and there is no dead letter yet."""
    wrap(workers.drain.pool, "bury", before=partial(_die, "before_burial", 1))


def freeze_before_record() -> None:
    """A zombie that will apply what somebody else has applied meanwhile."""
    wrap(Ledger, "record", before=partial(_freeze, "freeze"))


def freeze_before_commit() -> None:
    """A zombie in the middle of its transaction, holding every lock of it."""
    wrap(recording, "write", after=partial(_freeze, "freeze"))


def freeze_after_commit() -> None:
    """A zombie that will finish what somebody else has finished meanwhile."""
    wrap(Inbox, "finish", before=partial(_freeze, "freeze"))


def lose_the_answer_to_commit() -> None:
    """PostgreSQL has committed, and the connection is gone before it could say so."""
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


def die_before_accept() -> None:
    """Ingest has read the event and put it nowhere."""
    wrap(Inbox, "accept", before=partial(_die, "before_accept", 1))


def die_after_accept() -> None:
    """The event is in the inbox; nobody was woken and nobody answered."""
    wrap(Inbox, "accept", after=partial(_die, "after_accept", 1))


def die_after_publish() -> None:
    """A worker was woken, and the answer never sent."""
    wrap(Wakes, "publish", after=partial(_die, "after_publish", 1))


def die_at_random() -> None:
    """Every other batch ends its process, before its transaction or after its COMMIT.

    An event alone seldom does: one that dies alone three times is poison by every right.
    """
    chance = random.Random(f"{os.environ['FAULT_SEED']}/{os.getpid()}")  # noqa: S311 - drawn again

    def die(batch: Sequence[object]) -> None:
        if chance.random() < (0.4 if len(batch) > 1 else 0.01) and burn("random", 15):
            os._exit(DEATH)

    wrap(Ledger, "record", before=lambda _, deliveries: die(deliveries))
    wrap(Inbox, "finish", before=lambda *arguments, **_: die(arguments[2]))


# What an event does to its worker ------------------------------------------------------------


def _poisonous(harm: Callable[[], None]) -> None:
    def meet(_ledger: Ledger, deliveries: Sequence[Delivery]) -> None:
        if any(POISON in delivery.envelope.event_id for delivery in deliveries):
            harm()

    wrap(Ledger, "record", before=meet)


def _segfault() -> None:
    ctypes.string_at(0)


def _eat_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    eaten = [bytearray(1 << 28) for _ in range(8)]
    del eaten[:]


# Shorter waits ---------------------------------------------------------------------------------


def short_lease() -> None:
    """A claim of a dead owner is due again soon."""
    defaults = Inbox.__init__.__kwdefaults__
    assert defaults is not None
    defaults["lease"] = SHORT_LEASE


def long_lease() -> None:
    """A claim of a dead owner is nobody else's for longer than any test."""
    defaults = Inbox.__init__.__kwdefaults__
    assert defaults is not None
    defaults["lease"] = LONG_LEASE


def short_locks() -> None:
    """A lock is not waited for long, nor is a frozen transaction kept for long."""
    runtime.database.engine.SESSION["lock_timeout"] = "400ms"
    runtime.database.engine.SESSION["idle_in_transaction_session_timeout"] = "4s"


def short_backoff() -> None:
    """A charged failure waits a moment and not for seconds."""
    workers.drain.retry_policy.SHORTEST_BACKOFF_SECONDS = 0.3  # type: ignore[misc]
    workers.drain.retry_policy.LONGEST_BACKOFF_SECONDS = 0.6  # type: ignore[misc]


def short_time_limit() -> None:
    """A task that hangs is killed soon."""
    runtime.broker._WORKER["task_time_limit"] = 2


def newer_release() -> None:
    """This process is of the next release: it writes entries of version 2, and reads both."""
    runtime.inbox.encoding.VERSION = 2  # type: ignore[attr-defined]
    runtime.inbox.inbox.VERSION = 2  # type: ignore[attr-defined]
    workers.drain.decode.KNOWN_VERSIONS = frozenset({1, 2})  # type: ignore[misc]


def no_sweeper_lock() -> None:
    """Every supervisor thinks that it is the one to sweep."""

    def hold(self: SweeperLock) -> bool:
        return True

    SweeperLock.hold = hold  # type: ignore[method-assign]


def slow() -> None:
    """A batch takes long enough to be met in the middle."""
    wrap(recording, "write", after=lambda *_: time.sleep(0.1))


def very_slow() -> None:
    """A batch takes so long that anything may be done to it in the middle."""
    wrap(Ledger, "record", before=lambda *_: time.sleep(2))


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        die_in_the_pop_window,
        die_before_commit,
        die_after_commit,
        die_before_discard,
        die_before_burial,
        freeze_before_record,
        freeze_before_commit,
        freeze_after_commit,
        lose_the_answer_to_commit,
        die_before_accept,
        die_after_accept,
        die_after_publish,
        die_at_random,
        short_lease,
        long_lease,
        short_locks,
        short_backoff,
        short_time_limit,
        newer_release,
        no_sweeper_lock,
        slow,
        very_slow,
    )
} | {
    "poison_exit": partial(_poisonous, lambda: os._exit(DEATH)),
    "poison_segv": partial(_poisonous, _segfault),
    "poison_kill": partial(_poisonous, lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "poison_memory": partial(_poisonous, _eat_memory),
    "poison_hang": partial(_poisonous, lambda: time.sleep(3600)),
}
