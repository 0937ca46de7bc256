import subprocess
from pathlib import Path

import pytest

from bench import first_run
from bench.first_run import FirstRun, RunFailed, report

DEMO = """demo:
\t@echo '  installed 49 packages, 50 MB downloaded'
\t@echo '.venv is ready after 9.0 s'
\t@echo 'usr_123 has paid and may use: max_devices=5'
\t@echo 'All checks passed.'
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose demo only prints; it is what will be cloned."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.setattr(first_run, "ROOT", folder)
    return folder


def commit(folder: Path, makefile: str) -> None:
    (folder / "Makefile").write_text(makefile)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


def test_a_run_is_timed_from_the_clone_to_the_lines_that_matter(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository, DEMO)

    run = first_run.first_run(tmp_path)

    assert 0 < run.installed <= run.paid <= run.whole
    assert run.longest_silence <= run.whole
    assert run.megabytes == 50


@pytest.mark.parametrize(
    "makefile",
    [DEMO.replace("has paid", "has not"), DEMO + "\t@exit 1\n"],
    ids=["unpaid", "failed"],
)
def test_a_run_without_a_paid_user_or_that_fails_is_no_figure(
    makefile: str, repository: Path, tmp_path: Path
) -> None:
    commit(repository, makefile)

    with pytest.raises(RunFailed, match="All checks passed"):
        first_run.first_run(tmp_path)


def test_the_table_has_the_median_of_the_warm_runs_and_a_ratio_to_the_baseline() -> None:
    def run(seconds: float, megabytes: float) -> FirstRun:
        return FirstRun(
            installed=seconds,
            paid=2 * seconds,
            whole=3 * seconds,
            longest_silence=1.0,
            megabytes=megabytes,
        )

    table = report(run(9.0, 50.0), [run(6.0, 0.0), run(5.0, 0.0), run(4.0, 0.0)], [10.0])

    assert "clone to .venv ready                   9.0     5.0   4.0 to 6.0" in table
    assert "downloaded, MB                        50.0     0.0   0.0 to 0.0" in table
    assert ".venv ready / baseline, both warm: 0.50" in table
