from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from bench.machine import BenchMachine, machine
from bench.simulate.waiting import SIZES, waiting_sizes

pytestmark = pytest.mark.servers


@pytest.fixture
def own_machine(servers_folder: Path) -> Iterator[BenchMachine]:
    """Servers of a benchmark, below the folder of the session, which removes it."""
    folder = Path(mkdtemp(dir=servers_folder))
    folder.chmod(0o755)
    with machine(folder) as servers:
        yield servers


def test_a_waiting_event_takes_its_body_and_less_than_a_kilobyte_more(
    own_machine: BenchMachine,
) -> None:
    messages: list[str] = []

    sizes = waiting_sizes(own_machine, 300, messages.append)

    assert [each.body_bytes for each in sizes] == list(SIZES)
    for each in sizes:
        assert 200 < each.memory_bytes - each.body_bytes < 1500
        assert each.reported_bytes == pytest.approx(each.memory_bytes, rel=0.3)
        assert 200 < each.file_bytes - each.body_bytes < 1500
        assert each.load_seconds > 0
    assert messages[0] == "waiting events of 2,000 bytes"
