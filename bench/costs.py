"""Measure the cost of work: processor time and memory of processes, bytes of the servers."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from bench.machine import BenchMachine
from ops.up.servers.process_table import children_of
from ops.up.stack import Stack

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER_TIME: Final = 11
"""The position of the user, system and ended children's times in /proc/PID/stat."""

_SCHEDULED: Final = 2
"""The clock of the scheduler, among the three that every process has."""


def processes(machine: BenchMachine, running: Stack) -> dict[str, list[int]]:
    """Return the process ids of Paidup and of the servers, by kind."""
    ingest, worker = running.ingest, running.worker
    return {
        "ingest": tree(ingest.pid) if ingest else [],
        "worker": tree(worker.pid) if worker and worker.is_alive() else [],
        "redis": tree(machine.redis.pid),
        "postgresql": tree(machine.postgres.pid),
    }


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    return [pid, *(below for child in children_of(pid) for below in tree(child))]


class ProcessEnded(Exception):
    """A process that was to be measured has ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        super().__init__(f"process {pid} has ended: measure again")


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the processor time of these processes and of their ended children so far."""
    return sum(sum(_times(pid)) for pid in pids)


def exact_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of these processes so far, to the nanosecond.

    Raises:
        ProcessEnded: one of them lives no more.
    """
    return sum(map(_nanoseconds, pids)) / 1e9


def _nanoseconds(pid: int) -> int:
    try:
        return time.clock_gettime_ns(_clock_of(pid))
    except OSError as error:
        raise ProcessEnded(pid) from error


def _clock_of(pid: int) -> int:
    """Return the number of a process' clock, as clock_getcpuclockid(3) does."""
    return (~pid << 3) | _SCHEDULED


def by_kind(machine: BenchMachine, running: Stack) -> dict[str, float]:
    """Return the processor time of Paidup and of the servers so far, by kind."""
    return {name: cpu_seconds(pids) for name, pids in processes(machine, running).items()}


def megabytes(pid: int) -> float:
    """Return the memory of a process with its part of shared pages; 0 if it has ended."""
    held = (
        line.split()[1]
        for line in _read(pid, "smaps_rollup").splitlines()
        if line.startswith("Pss:")
    )
    return int(next(held, 0)) / 1024


def memory(found: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the megabytes of Paidup's largest process, and of each server as a whole."""
    held = {name: [megabytes(pid) for pid in pids] for name, pids in found.items()}
    return {
        name: sum(sizes) if name in {"redis", "postgresql"} else max(sizes, default=0.0)
        for name, sizes in held.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """The bytes that the servers hold, and that they have written to disk so far."""

    redis: int
    redis_written: int
    postgresql: int
    postgresql_written: int

    def __sub__(self, before: "Bytes") -> "Bytes":
        return Bytes(
            redis=self.redis - before.redis,
            redis_written=self.redis_written - before.redis_written,
            postgresql=self.postgresql - before.postgresql,
            postgresql_written=self.postgresql_written - before.postgresql_written,
        )


def held(machine: BenchMachine, database_url: str) -> Bytes:
    """Return the bytes that the servers hold now."""
    with machine.redis.client() as client:
        memory_now, persistence = client.info("memory"), client.info("persistence")
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT pg_database_size(current_database()), pg_current_wal_lsn() - '0/0'"
        ).fetchone()
    size, written = row or (0, 0)
    return Bytes(
        redis=int(memory_now["used_memory"]),
        redis_written=int(persistence["aof_current_size"]),
        postgresql=int(size),
        postgresql_written=int(written),
    )


def _times(pid: int) -> Iterator[float]:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    yield from (int(ticks) / _TICKS for ticks in fields[_USER_TIME : _USER_TIME + 4])


def _read(pid: int, name: str) -> str:
    # A process may end between being listed and being read.
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/{name}").read_text()
    return ""
