from pathlib import Path

import pytest

from ops.up.servers.cluster import Cluster
from ops.up.servers.errors import ServerDidNotStart, ServerMissing


def cluster_with(folder: Path, *, initdb: str | None) -> Cluster:
    binaries = folder / "bin"
    binaries.mkdir()
    if initdb is not None:
        (binaries / "initdb").write_text(initdb)
        (binaries / "initdb").chmod(0o755)
    return Cluster(
        folder / "cluster",
        binaries=binaries,
        account=None,
        environ={"PATH": "/usr/bin:/bin"},
        log=folder / "log",
    )


def test_what_initdb_says_last_is_quoted(tmp_path: Path) -> None:
    cluster = cluster_with(tmp_path, initdb="#!/bin/sh\necho 'no space left' >&2\nexit 1\n")

    with pytest.raises(ServerDidNotStart, match="initdb did not start: no space left"):
        cluster.prepare()

    assert not cluster.data.exists()


def test_a_binary_that_cannot_be_run_is_a_sentence(tmp_path: Path) -> None:
    cluster = cluster_with(tmp_path, initdb=None)

    with pytest.raises(ServerMissing, match=r"initdb cannot be run \(No such file.*DATABASE_URL"):
        cluster.prepare()
