"""One stack for the session; ``own_system`` for tests that break theirs."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.up.servers.account import temporary_folder
from tests.system.stack_env import StackUnderTest, running_system


@pytest.fixture(scope="session")
def _session_system() -> Iterator[StackUnderTest]:
    yield from _new_system()


@pytest.fixture
def system(_session_system: StackUnderTest) -> StackUnderTest:
    """Return the session's stack; never stop a part of it."""
    return _session_system


@pytest.fixture
def own_system() -> Iterator[StackUnderTest]:
    """Yield a stack of this test alone, to kill and freeze."""
    yield from _new_system()


def _new_system() -> Iterator[StackUnderTest]:
    folder: Path = temporary_folder("paidup-system-")
    try:
        with running_system(folder) as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def now() -> int:
    """Return the real time: the database's clock decides about periods and grace."""
    return int(time.time())
