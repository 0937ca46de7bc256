"""A process counts on while its metrics file has no room, under a real limit on files' size."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.metrics_values import LastingValues, ReservedValues

IN_FILE_AGAIN = "metrics are in their file again"
IN_MEMORY = "metrics are kept in memory: their file has no room"
MORE_THAN_A_FILE = 4000
"""More values than the first 64 KiB of a file hold; 128 KiB hold them."""


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Yield a function that limits the bytes that a file of this process may have."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda number: resource.setrlimit(resource.RLIMIT_FSIZE, (number, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def in_file(path: Path) -> dict[str, float]:
    return {key: value for key, value, *_ in ReservedValues.read_all_values_from_file(str(path))}


def count_all(values: LastingValues) -> None:
    for number in range(MORE_THAN_A_FILE):
        values.write_value(f"key {number}", float(number), 0.0)


def test_every_byte_of_a_file_is_on_the_disk_before_it_is_mapped(tmp_path: Path) -> None:
    values = ReservedValues(str(tmp_path / "counter_1.db"))
    values.write_value("a", 2.0, 0.0)
    values.close()

    seen = (tmp_path / "counter_1.db").stat()
    assert (in_file(tmp_path / "counter_1.db"), seen.st_blocks * 512) == ({"a": 2.0}, seen.st_size)
    assert [path.name for path in tmp_path.iterdir()] == ["counter_1.db"]


def test_a_file_that_grows_keeps_its_values(tmp_path: Path) -> None:
    values = LastingValues(str(tmp_path / "counter_1.db"))
    count_all(values)
    values.close()

    again = LastingValues(str(tmp_path / "counter_1.db"))

    assert again.read_value(f"key {MORE_THAN_A_FILE - 1}") == (MORE_THAN_A_FILE - 1, 0.0)
    assert len(in_file(tmp_path / "counter_1.db")) == MORE_THAN_A_FILE
    again.close()


def test_a_process_without_room_for_its_file_counts_in_memory_and_names_it(
    tmp_path: Path, limit: Callable[[int], None]
) -> None:
    limit(1000)

    with capture_logs() as lines:
        values = LastingValues(str(tmp_path / "counter_1.db"))
        count_all(values)

    assert values.read_value("key 7") == (7.0, 0.0)
    assert values.read_value(f"key {MORE_THAN_A_FILE - 1}") == (MORE_THAN_A_FILE - 1, 0.0)
    values.close()
    assert [line["event"] for line in lines] == [IN_MEMORY]
    assert lines[0]["file"] == str(tmp_path / "counter_1.db")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a scrape would stumble over half a file


def test_a_file_that_cannot_grow_stays_readable_while_its_process_counts_on(
    tmp_path: Path, limit: Callable[[int], None]
) -> None:
    path = tmp_path / "counter_1.db"
    values = LastingValues(str(path))
    values.write_value("first", 1.0, 0.0)
    limit(100_000)

    with capture_logs() as lines:
        count_all(values)

    assert values.read_value("first") == (1.0, 0.0)
    assert values.read_value(f"key {MORE_THAN_A_FILE - 1}") == (MORE_THAN_A_FILE - 1, 0.0)
    values.close()
    assert [line["event"] for line in lines] == [IN_MEMORY]
    assert (in_file(path)["first"], path.stat().st_size) == (1.0, 64 * 1024)


@pytest.mark.parametrize("bytes_at_first", [1000, 100_000])
def test_what_was_counted_in_memory_is_written_to_the_file_once_there_is_room(
    tmp_path: Path,
    limit: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    bytes_at_first: int,
) -> None:
    path = tmp_path / "counter_1.db"
    monkeypatch.setattr("runtime.metrics_values.METRICS_RETRY_SECONDS", 0.0)
    limit(bytes_at_first)
    with capture_logs() as lines:
        values = LastingValues(str(path))
        count_all(values)
        limit(resource.RLIM_INFINITY)
        values.write_value("key 7", 70.0, 0.0)
    values.write_value("another key", 1.0, 0.0)

    assert [line["event"] for line in lines] == [IN_MEMORY, IN_FILE_AGAIN]
    assert len(in_file(path)) == MORE_THAN_A_FILE + 1
    assert (in_file(path)["key 7"], in_file(path)["another key"]) == (70.0, 1.0)
    values.close()


def test_a_folder_that_stays_full_is_not_tried_for_every_count(
    tmp_path: Path, limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(1000)
    values = LastingValues(str(tmp_path / "counter_1.db"))
    tried: list[int] = []
    monkeypatch.setattr(values, "_return_to_file", lambda: tried.append(1))

    count_all(values)

    assert tried == []
    values.close()
