"""Run ``paidup reconcile`` as a process of its own, and read what it found."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.reconcile.site import MONTHS, ReconcileScale

_REPOSITORY: Final = Path(__file__).parents[2]
_COMMAND: Final = (sys.executable, "-m", "paidup", "reconcile", "--json", "--limit", "1000")
_APPLY: Final = ("--apply", "--reason", "bench")
_STOP_SECONDS: Final = 30


@dataclass(frozen=True, kw_only=True)
class ReconcileEnd:
    """The findings of one command, and how many seconds it took."""

    seconds: float
    document: Mapping[str, Any]

    def differences(self) -> dict[tuple[str, str], str | None]:
        """Return the customer of each difference, by class and name."""
        return {
            (each["classed"], each["name"]): each["stripe_customer_id"]
            for each in self.document["differences"]
        }

    def states(self) -> set[str]:
        """Return the states that differences are in."""
        return {str(each["state"]) for each in self.document["differences"]}


class NotCompared(Exception):
    """The command ended without a statement; the text is what it said."""


@dataclass(frozen=True, kw_only=True)
class ReconcileCommands:
    """The commands of a deployment; ``environ`` are its settings."""

    environ: Mapping[str, str]
    rate: float

    def run(self, *options: str, applies: bool = False) -> ReconcileEnd:
        """Run the command to its end.

        Raises:
            NotCompared: it did not compare.
        """
        began = time.monotonic()
        with self._started(*options, *(_APPLY if applies else ())) as process:
            printed, said = process.communicate()
        seconds = time.monotonic() - began
        document = json.loads(printed or "{}")
        if "runs" not in document:
            raise NotCompared(said)
        (run,) = document["runs"]
        return ReconcileEnd(seconds=seconds, document=run)

    @contextmanager
    def beside(self, *options: str) -> Iterator[None]:
        """Run the command until the block ends, and stop it; the next one goes on."""
        with self._started(*options) as process:
            yield
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=_STOP_SECONDS)

    def _started(self, *options: str) -> "subprocess.Popen[str]":
        command: Sequence[str] = [*_COMMAND, "--rate", str(self.rate), *options]
        return subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=dict(self.environ),
            cwd=_REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def stripe_of(scale: ReconcileScale) -> Iterator[dict[str, str]]:
    """Run the Stripe of a scale until the block ends, and yield the settings that reach it."""
    values = {
        "subscribers": scale.subscribers,
        "months": MONTHS,
        "now": scale.now,
        "latency": scale.latency,
        "events": scale.events,
        "gaps": scale.gaps,
    }
    options = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "tests.stripe", "--limits", *options],
        env=dict(os.environ),
        cwd=_REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        stated = json.loads(process.stdout.readline())
        yield {
            "STRIPE_API_KEY": stated["key"],
            "STRIPE_API_BASE": stated["url"],
            "PAIDUP_RECONCILE": "0",
        }
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)
