"""A real ``python -m ops.console`` on a free port of loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.ingest.ingest_process import ServerProcess, TimedAnswer, wait_until

TOKEN = "a-token-of-a-test"


class ServedConsole(ServerProcess):
    """One running console."""

    def read(self, user_id: str = "usr_1", *, token: str = TOKEN, **headers: str) -> TimedAnswer:
        """Request the entitlements of a user whose id is already encoded."""
        return self.read_path(f"/v1/users/{user_id}/entitlements", token=token, **headers)

    def read_path(self, path: str, *, token: str = TOKEN, **headers: str) -> TimedAnswer:
        """Request a path of the read API with a token."""
        return self._ask("GET", path, None, {"Authorization": f"Bearer {token}", **headers})

    def state(
        self, path: str, body: dict[str, Any], *, key: str, token: str = TOKEN
    ) -> TimedAnswer:
        """State something under an idempotency key."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        return self._ask("POST", path, json.dumps(body).encode(), headers)


@contextmanager
def serving(
    database_url: str, folder: Path, module: str = "ops.console", /, **environ: str
) -> Iterator[ServedConsole]:
    """Start a console, wait until it is ready, and stop it unless the test did."""
    with answering(database_url, folder, module, **environ) as served:
        wait_until(served.ready)
        yield served


@contextmanager
def answering(
    database_url: str, folder: Path, module: str = "ops.console", /, **environ: str
) -> Iterator[ServedConsole]:
    """Start a console and wait until it responds, ready or not."""
    log = folder / "console.log"
    with log.open("w") as stream:
        process = start(database_url, folder, stream, module, **environ)
    served = ServedConsole(process, log)
    try:
        wait_until(served.starting)
        wait_until(lambda: alive(served))
        yield served
    finally:
        if process.poll() is None:
            served.stop()


def alive(served: ServerProcess) -> bool:
    """Return True if its process responds."""
    try:
        return served.get("/healthz").status == 200
    except OSError:
        return False


def start(
    database_url: str,
    folder: Path,
    stream: IO[str],
    module: str = "ops.console",
    /,
    **environ: str,
) -> "subprocess.Popen[str]":
    """Run the command without waiting for readiness."""
    tokens = {} if "PAIDUP_CONSOLE_TOKENS_FILE" in environ else {"PAIDUP_CONSOLE_TOKENS": TOKEN}
    settings = {
        "DATABASE_URL": database_url,
        "PAIDUP_CONSOLE_BIND": "127.0.0.1:0",
        **tokens,
        "PAIDUP_DATA_DIR": str(folder / "data"),
        **environ,
    }
    return subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, **settings},
        stderr=stream,
        text=True,
    )
