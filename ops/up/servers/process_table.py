"""Commands and children of processes, from /proc where there is one, else from ``ps``."""

import subprocess
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def command_of(pid: int) -> str:
    """Return the command line of a process; empty if there is no such process."""
    if (_PROC / "self").exists():
        with suppress(OSError):
            return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return ""
    return _ps("-o", "command=", "-p", str(pid)).strip()


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process that are running."""
    if (_PROC / "self").exists():
        parents = ((int(p.name), _parent(p)) for p in _PROC.iterdir() if p.name.isdigit())
    else:
        rows = (line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines())
        parents = ((int(row[0]), int(row[1])) for row in rows)
    return [child for child, parent in parents if parent == pid]


def _parent(folder: Path) -> int:
    with suppress(OSError):
        # The name in brackets may contain spaces and brackets.
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _ps(*arguments: str) -> str:
    # Without -ww a line ends where the terminal does, at 80 columns where there is none.
    return subprocess.run(  # noqa: S603 - fixed arguments
        ["ps", "-ww", *arguments],  # noqa: S607 - where ps lies differs
        capture_output=True,
        text=True,
        check=False,
    ).stdout
