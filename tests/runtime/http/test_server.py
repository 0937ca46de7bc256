import errno
from collections.abc import Callable
from typing import Any, cast

import pytest
from flask import Flask
from granian.server.mp import MPServer
from structlog.testing import capture_logs

from runtime.http import server


class FailingServer:
    """A launcher that cannot start its processes, until it is stopped."""

    starts = 0
    shutdowns = 0

    def __init__(self) -> None:
        self.interrupt_signal = False

    def serve(self, **_: Any) -> None:
        FailingServer.starts += 1
        if FailingServer.starts < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        self.interrupt_signal = True

    def shutdown(self) -> None:
        FailingServer.shutdowns += 1


def test_a_launcher_without_open_files_ends_its_processes_and_starts_them_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_stopped_within", lambda _: False)
    monkeypatch.setattr(server, "configure_logging", lambda *_, **__: None)
    build = cast("Callable[[], MPServer]", FailingServer)

    with capture_logs() as lines:
        server._serve_until_stopped(build, lambda: Flask("none"), "info")

    assert (FailingServer.starts, FailingServer.shutdowns) == (3, 2)
    assert ["Too many open files" in line["reason"] for line in lines] == [True, True]
