"""One stack for the session; ``own_road`` for tests that break theirs."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.up.servers.account import temporary_folder
from tests.system.stack_env import Road, road_in


@pytest.fixture(scope="session")
def _road() -> Iterator[Road]:
    yield from _whole_road()


@pytest.fixture
def road(_road: Road) -> Road:
    """The session's stack. Never stop a part of it."""
    return _road


@pytest.fixture
def own_road() -> Iterator[Road]:
    """A stack of this test alone, to kill and freeze."""
    yield from _whole_road()


def _whole_road() -> Iterator[Road]:
    folder: Path = temporary_folder("paidup-system-")
    try:
        with road_in(folder) as road:
            yield road
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def now() -> int:
    """The real time: periods and grace are judged by the database's clock."""
    return int(time.time())
