from pathlib import Path

import pytest

from ops.doctor import check_disks
from ops.doctor.findings import State
from runtime.disks import FULL_BYTES, Disk
from runtime.settings import Settings

GIB = 1024**3


@pytest.mark.parametrize(
    ("free", "state"),
    [
        (50 * GIB, State.OK),
        (GIB, State.WARNING),
        (FULL_BYTES - 1, State.PROBLEM),
    ],
)
def test_a_disk_is_a_warning_below_a_bound_and_a_problem_when_it_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: State
) -> None:
    disk = Disk(folder=tmp_path, holds=("data",), free_bytes=free, size_bytes=100 * GIB)
    monkeypatch.setattr(check_disks, "own_disks", lambda _: (disk,))

    (finding,) = check_disks.check_disks(Settings.from_env({"PAIDUP_DATA_DIR": str(tmp_path)}))

    assert finding.state is state
    assert str(tmp_path) in finding.says


def test_a_machine_that_only_looks_has_no_finding(tmp_path: Path) -> None:
    settings = Settings.from_env({"PAIDUP_DATA_DIR": str(tmp_path / "none")})

    assert list(check_disks.check_disks(settings)) == []
