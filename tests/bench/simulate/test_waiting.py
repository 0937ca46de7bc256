import pytest

from bench.machine import BenchMachine
from bench.simulate.waiting import SIZES, waiting_sizes

pytestmark = pytest.mark.servers


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
