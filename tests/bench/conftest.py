from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from bench.machine import BenchMachine, machine


@pytest.fixture
def own_machine(servers_folder: Path) -> Iterator[BenchMachine]:
    """Servers of a benchmark, below the folder of the session, which removes it."""
    folder = Path(mkdtemp(dir=servers_folder))
    folder.chmod(0o755)
    with machine(folder) as servers:
        yield servers
