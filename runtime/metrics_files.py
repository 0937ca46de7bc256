"""Serve one set of metrics for one instance with several processes.

prometheus_client writes the values of each process into files of a shared folder, and reads the
folder's name when Python imports it. So the launcher claims a folder, empties it and sets the
variable before it starts any process that counts. A pool that replaces its children would fill the
disk, so the files of dead processes are folded into one. A lock keeps scrapes and folding apart,
or a scrape in between would count twice.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_FOLDED: Final = "folded"

# These two have no type annotations.
_ValuesFile: Any = MmapedDict
_SiblingsCollector: Any = MultiProcessCollector


class InstanceRunning(Exception):
    """A running instance already uses this metrics folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"another instance uses {folder}; stop it, or bind another address")


@contextmanager
def claimed_folder(folder: Path, environ: MutableMapping[str, str]) -> Iterator[Path]:
    """Lock and empty a folder for this instance, and set it in ``environ`` for its processes.

    Raises:
        InstanceRunning: another running process has locked it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "owner.lock").open("w") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstanceRunning(folder) from None
        for stale in folder.glob("*.db"):
            stale.unlink()
        environ[FOLDER_VARIABLE] = str(folder.resolve())
        yield folder


class FolderCollector(Collector):
    """The sum over all processes of the instance; waits while dead ones are folded."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that registration reads no files."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the sums over all processes of the instance, dead ones included."""
        with _turn(self._folder, fcntl.LOCK_SH):
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
    """Merge the files of dead processes into one for each kind, and return how many."""
    with _turn(folder, fcntl.LOCK_EX):
        dead = [path for path in folder.glob("*.db") if _died(path, alive)]
        for path in dead:
            _fold(path, folder / f"{_kind(path)}_{_FOLDED}.db")
            path.unlink()
    return len(dead)


def _fold(path: Path, target: Path) -> None:
    combine = max if path.name.startswith("gauge") else _sum
    totals = _ValuesFile(str(target))
    try:
        for key, value, timestamp, _ in _ValuesFile.read_all_values_from_file(str(path)):
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
    with (folder / "fold.lock").open("a") as lock:
        fcntl.flock(lock, mode)
        yield
