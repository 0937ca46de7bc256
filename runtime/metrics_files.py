"""Serve one set of metrics for one instance with several processes.

prometheus_client writes the values of each process into files of a shared folder, and reads the
folder's name when Python imports it. So the launcher claims a folder, empties it and sets the
variable before it starts any process that counts. A pool that replaces its children would fill the
disk, so the files of dead processes are folded into one. A lock keeps scrapes and folding apart,
or a scrape in between would count twice. A folder that cannot be used stops nothing: each process
counts for itself then (``metrics_values`` is about a folder that gets full later).
"""

import fcntl
import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from runtime.metrics_values import ReservedValues

log = structlog.stdlib.get_logger(__name__)

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_FOLDED: Final = "folded"

# It has no type annotations.
_SiblingsCollector: Any = MultiProcessCollector


class InstanceRunning(Exception):
    """A running instance already uses this metrics folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"another instance uses {folder}; stop it, or bind another address")


@contextmanager
def claimed_folder(folder: Path, environ: MutableMapping[str, str]) -> Iterator[Path]:
    """Lock and empty a folder for this instance, and set it in ``environ`` for its processes.

    A folder that cannot be written is logged and not set: each process counts for itself then.

    Raises:
        InstanceRunning: another running process has locked it.
    """
    environ.pop(FOLDER_VARIABLE, None)
    with ExitStack() as held:
        try:
            held.enter_context(_owned(folder))
            environ[FOLDER_VARIABLE] = str(folder.resolve())
        except OSError as error:
            log.error(  # noqa: TRY400 - the error says it all
                "the metrics folder cannot be used: each process counts for itself",
                folder=str(folder),
                error=error.strerror or str(error),
                todo="make room or mount it writable, then restart Paidup",
            )
        try:
            yield folder
        finally:
            # What this process counts from now on belongs to no folder.
            environ.pop(FOLDER_VARIABLE, None)


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "owner.lock").open("w") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstanceRunning(folder) from None
        for stale in (*folder.glob("*.db"), *folder.glob("*.new")):
            stale.unlink()
        yield


class FolderCollector(Collector):
    """The sum over all processes of the instance; waits while dead ones are folded."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that registration reads no files."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the sums over all processes of the instance, dead ones included."""
        with ExitStack() as held:
            with suppress(OSError):  # folding needs the lock, so without one it cannot disturb
                held.enter_context(_turn(self._folder, fcntl.LOCK_SH))
            merged = _SiblingsCollector(None, path=str(self._folder)).collect()
        yield from merged


def is_running(pid: int) -> bool:
    """Return True if a process has this id; another program that got it only delays a fold."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def fold_dead(folder: Path, alive: Callable[[int], bool] = is_running) -> int:
    """Merge the files of dead processes into one for each kind, and return how many.

    Raises:
        OSError: the folder has no room; nothing is lost or counted twice.
    """
    with _turn(folder, fcntl.LOCK_EX):
        dead = [path for path in folder.glob("*.db") if _died(path, alive)]
        for path in dead:
            _fold(path, folder / f"{_kind(path)}_{_FOLDED}.db")
            path.unlink()
    return len(dead)


def _fold(path: Path, target: Path) -> None:
    combine = max if path.name.startswith("gauge") else _sum
    totals = ReservedValues(str(target))
    values = list(ReservedValues.read_all_values_from_file(str(path)))
    try:
        # All room first: an error after half of the additions would add them twice next time.
        for key, *_ in values:
            totals.read_value(key)
        for key, value, timestamp, _ in values:
            folded, folded_at = totals.read_value(key)
            totals.write_value(key, combine(folded, value), max(folded_at, timestamp))
    finally:
        totals.close()


def _sum(one: float, other: float) -> float:
    return one + other


def _kind(path: Path) -> str:
    """Return ``counter``, ``histogram`` or ``gauge_max``: the name before the process id."""
    return path.stem.rpartition("_")[0]


def _died(path: Path, alive: Callable[[int], bool]) -> bool:
    owner = path.stem.rpartition("_")[2]
    return owner.isdecimal() and not alive(int(owner))


@contextmanager
def _turn(folder: Path, mode: int) -> Iterator[None]:
    # Read-only, because an existing file can be opened so on a disk that is full or read-only.
    lock = os.open(folder / "fold.lock", os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, mode)
        yield
    finally:
        os.close(lock)
