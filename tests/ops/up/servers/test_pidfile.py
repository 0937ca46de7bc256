import errno
import os
import signal
from pathlib import Path

import pytest

from ops.up.servers import pidfile
from ops.up.servers.pidfile import Holder


def test_naming_another_process_takes_no_room(tmp_path: Path) -> None:
    path = tmp_path / "part.pid"
    lock = pidfile.claim(path)
    size = path.stat().st_size

    pidfile.write(lock, Holder(pid=2**22, stop_signal=signal.SIGTERM, turn=3))

    assert path.stat().st_size == size > 0
    assert pidfile.holder(path) == Holder(pid=2**22, stop_signal=signal.SIGTERM, turn=3)
    os.close(lock)


def test_a_file_without_room_for_a_name_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_room)
    with pytest.raises(OSError, match="No space left"):
        pidfile.claim(tmp_path / "part.pid")
    monkeypatch.undo()

    os.close(pidfile.claim(tmp_path / "part.pid", seconds=0))


def test_a_blank_file_names_no_process(tmp_path: Path) -> None:
    lock = pidfile.claim(tmp_path / "part.pid")

    assert pidfile.holder(tmp_path / "part.pid") is None
    os.close(lock)
