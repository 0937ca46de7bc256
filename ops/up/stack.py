"""Run a whole stack on one machine: the services, and servers where the operator names none.

A stack has one folder and one parent watch. Its parts run in sessions of their own, so that the
stack alone decides the order in which they end: ingest and console, the worker, the servers.
Processes left behind by a killed stack are stopped before a new one starts on the folder.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Self

from ops.console_tokens import VARIABLE, Role, generate_token, hashed_entry, plain_token
from ops.errors import CommandFailed
from ops.plans.migrate import migrate
from ops.terminal.formats import format_count, format_duration
from ops.up import addresses, services_role, up_file
from ops.up.restarts import RestartPolicy
from ops.up.room import DiskRoom
from ops.up.servers import pidfile
from ops.up.servers.account import make_own_folder
from ops.up.servers.binaries import postgres_binaries, redis_binary
from ops.up.servers.errors import StillRunning
from ops.up.servers.parent_watch import ParentWatch
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.process import Process
from ops.up.servers.redis_server import Redis
from ops.up.servers.secret_file import kept_secret
from ops.up.services import ConsoleService, IngestService, Service, WorkerService
from runtime.plans_file import read_plans
from runtime.roles import APPLICATION_ROLE, READER_ROLE
from runtime.settings import OWNER_VARIABLE, Settings, required

_TITLES: Mapping[str, str] = {
    "redis": "Redis",
    "postgres": "PostgreSQL",
    "ingest": "ingest",
    "worker": "the worker",
    "console": "the console",
}
_LEFTOVER_SECONDS = 20.0
_LOGIN_FILE = "console_login_token"


class Stack:
    """All parts of one ``up``; a context manager that stops the parts it started."""

    def __init__(
        self,
        data_dir: Path,
        environ: Mapping[str, str],
        *,
        ports: addresses.Ports = "given",
        say: Callable[[str], None] = lambda _: None,
        wait_for: Callable[[str], None] = lambda _: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read the settings; nothing is started yet.

        ``environ`` is the operator's; with ``free`` ports its addresses are ignored. ``say``
        receives a line about each change of a part, ``wait_for`` the subject of the next wait.
        Every wait calls ``pause``, and what that raises ends a start.

        Raises:
            SettingsError: naming every variable that is out of bounds.
        """
        self.data_dir = data_dir.absolute()
        self._say = say
        self._wait_for = wait_for
        self._pause = pause
        self._ports = ports
        # An empty variable means the same as none: the stack decides.
        self.environ = {name: value for name, value in environ.items() if value}
        self.environ["PAIDUP_DATA_DIR"] = str(self.data_dir)
        self.settings = Settings.from_env(self.environ)
        self.reader_database_url: str | None = None
        self._chose_role = False
        self._made_secret = False
        self._own_token: str | None = None
        self.login_token_file: Path | None = None
        """The file with the token by which to log in to the pages; None if the operator set any."""
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        self.ingest: Service | None = None
        self.worker: Service | None = None
        self.console: Service | None = None
        self._restarts = RestartPolicy(say=say)
        self._room = DiskRoom(self.data_dir, say=say)
        self._named: Mapping[str, int] = {}
        self._parent_watch: ParentWatch | None = None
        self._lock: int | None = None

    # Addresses --------------------------------------------------------------------------

    @property
    def ingest_url(self) -> str:
        """The base URL of ingest."""
        return addresses.local_url(self.settings.ingest_bind)

    @property
    def webhook_url(self) -> str:
        """The URL of the webhook endpoint."""
        return self.ingest_url + self.settings.webhook_path

    @property
    def worker_metrics_url(self) -> str:
        """The base URL of the worker's metrics."""
        return addresses.local_url(self.settings.worker_metrics_bind)

    @property
    def console_url(self) -> str:
        """The base URL of the console."""
        return addresses.local_url(self.settings.console_bind)

    @property
    def login_url(self) -> str:
        """The URL at which people log in to the pages."""
        return f"{self.settings.console_url or self.console_url}/login"

    @property
    def database_url(self) -> str:
        """The URL of the database, the stack's or the operator's, as the services use it."""
        return required(self.settings.database_url, "DATABASE_URL")

    @property
    def owner_database_url(self) -> str:
        """The URL of the same database as the role that owns the tables."""
        return required(self.settings.owner_database_url, "DATABASE_URL")

    @property
    def redis_url(self) -> str:
        """The URL of Redis, the stack's or the operator's."""
        return required(self.settings.redis_url, "REDIS_URL")

    @property
    def webhook_secret(self) -> str:
        """The secret to sign with: the first one if there are several."""
        return self.settings.webhook_secrets[0]

    @property
    def console_token(self) -> str | None:
        """A token of the read API; None if the operator set hashes only."""
        return self._own_token or plain_token(self.settings.console_tokens)

    # Start and stop ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start every part in order and wait until each is ready; on a failure stop them all.

        Ingest, which needs only Redis, loads while PostgreSQL starts.

        Raises:
            PlansMissing, InvalidCatalogue: before anything is started.
            OpsError, ServerError: after everything was stopped again.
        """
        read_plans(self.settings.plans_path)
        try:
            self._claim_folder()
            self._start_redis()
            self._settle_settings()
            self.ingest = self._spawn(IngestService, f"{self.ingest_url}/readyz")
            self._start_postgres()
            self._wait_for("the schema to be upgraded")
            self._migrate()
            self.worker = self._spawn(WorkerService, f"{self.worker_metrics_url}/metrics")
            self.console = self._spawn(ConsoleService, f"{self.console_url}/readyz")
            self._await_services(self.ingest, self.worker, self.console)
            self._write_up_file()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every part in order, and keep the data; skip parts that do not run."""
        self._restarts.forget_all()
        for part in (self.ingest, self.console, self.worker, self.redis, self.postgres):
            if part:
                self._wait_for(f"{_TITLES[part.name]} to stop")
                part.stop()
        if self._parent_watch:
            self._parent_watch.release()
            self._parent_watch = None
        if self._lock is not None:
            up_file.path_in(self.data_dir).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def restart_ended(self) -> None:
        """Restart parts that ended; call it about every second.

        Nothing that a full disk does ends the stack: all of it is tried again.
        """
        self._room.check()
        self._restarts.restart_ended()
        if not self._pids().items() <= self._named.items():
            with suppress(OSError):  # no room; the file still names the parts of before
                self._write_up_file()

    def has_room(self) -> bool:
        """Return False if a disk of the stack is full, which is said once."""
        return self._room.check()

    def _claim_folder(self) -> None:
        make_own_folder(self.data_dir)
        try:
            self._lock = pidfile.claim(up_file.lock_in(self.data_dir), seconds=1)
        except StillRunning as error:
            who = f" (process {error.pid})" if error.pid else ""
            raise CommandFailed(
                f"`paidup up` already runs on {self.data_dir}{who}:"
                " stop it, or set PAIDUP_DATA_DIR to another folder"
            ) from error
        us = pidfile.Holder(pid=os.getpid(), stop_signal=signal.SIGTERM, turn=0)
        pidfile.write(self._lock, us)
        if left := pidfile.stop_all(self._run, seconds=_LEFTOVER_SECONDS):
            left_behind = format_count(left, "process", "processes")
            self._say(f"stopped {left_behind} left behind by a killed `paidup up`")
        self._parent_watch = ParentWatch(self._run)

    def _start_redis(self) -> None:
        if self.settings.redis_url is None:
            self.redis = Redis(
                self.data_dir / "redis",
                binary=redis_binary(self.settings.redis_server),
                run=self._run,
                log=self.data_dir / "log" / "redis.log",
            )
            self._start(self.redis)
            self.environ["REDIS_URL"] = self.redis.url

    def _start_postgres(self) -> None:
        if self.settings.database_url is None:
            self.postgres = Postgres(
                self.data_dir / "postgres",
                binaries=postgres_binaries(),
                run=self._run,
                log=self.data_dir / "log" / "postgres.log",
            )
            self._start(self.postgres)
            # One that the operator set names another server, which stays as it is.
            self._settle_database(self._make_roles(self.postgres), owner=self.postgres.url)
        elif self.settings.owner_database_url == self.settings.database_url:
            owner = self.database_url
            services = services_role.services_url(owner, self.data_dir)
            self._chose_role = services != owner
            self._settle_database(services, owner=owner)

    def _make_roles(self, postgres: Postgres) -> str:
        """Make the roles of services and readers, and return the URL of the services."""
        password = kept_secret(self.data_dir / "reader_password")
        self.reader_database_url = postgres.make_login(READER_ROLE, password)
        return postgres.make_login(APPLICATION_ROLE, services_role.password_in(self.data_dir))

    def _settle_database(self, services: str, *, owner: str) -> None:
        for name in ("DATABASE_URL_FILE", f"{OWNER_VARIABLE}_FILE"):
            self.environ.pop(name, None)
        self.environ |= {"DATABASE_URL": services, OWNER_VARIABLE: owner}
        self.settings = Settings.from_env(self.environ)

    def _migrate(self) -> None:
        """Upgrade the schema and set up the roles; without a role of theirs the services use ours.

        ``migrate`` has then said what an administrator must run.
        """
        migrate(self.settings, report=self._say)
        owner = self.owner_database_url
        if self._chose_role and not services_role.works(owner, self.database_url):
            self._say("the services connect as the owner of the tables")
            self._settle_database(owner, owner=owner)

    def _settle_settings(self) -> None:
        """Decide the settings that the operator left open, and write them into the environment."""
        decided = {
            "PAIDUP_PLANS": str(self.settings.plans_path.absolute()),
            **addresses.choose_addresses(self.settings, self._ports, self._say),
        }
        if not self.settings.webhook_secrets:
            kept = self.data_dir / "webhook_secret"
            decided["STRIPE_WEBHOOK_SECRET"] = kept_secret(kept, lambda: f"whsec_{token_hex(32)}")
            self._made_secret = True
        if not self.settings.console_tokens:
            self._own_token = self._kept_token("console_token")
            operator = self._kept_token(_LOGIN_FILE)
            decided[VARIABLE] = ",".join(
                (
                    hashed_entry("up", Role.READER, self._own_token),
                    hashed_entry("operator", Role.OPERATOR, operator),
                )
            )
            self.login_token_file = self.data_dir / _LOGIN_FILE
        if not self.settings.console_secrets:
            kept = self.data_dir / "console_secret"
            decided["PAIDUP_CONSOLE_SECRET"] = kept_secret(kept, lambda: token_urlsafe(48))
        for name in decided:
            self.environ.pop(f"{name}_FILE", None)
        self.environ.update(decided)
        self.settings = Settings.from_env(self.environ)

    def _kept_token(self, name: str) -> str:
        return kept_secret(self.data_dir / name, lambda: generate_token("up").token)

    def _spawn(self, kind: type[Service], ready_url: str) -> Service:
        service = kind(data_dir=self.data_dir, environ=self.environ, ready_url=ready_url)
        self._about_to_start(service)
        service.spawn()
        return service

    def _await_services(self, *services: Service) -> None:
        for service in services:
            self._wait_for(f"{_TITLES[service.name]} to be ready")
            service.await_ready()
            self._restarts.watch(service)
            self._say(f"{_TITLES[service.name]} is ready")

    def _start(self, server: Process) -> None:
        begun = time.monotonic()
        self._about_to_start(server)
        server.start()
        self._restarts.watch(server)
        self._say(f"{_TITLES[server.name]} is ready ({format_duration(time.monotonic() - begun)})")

    def _about_to_start(self, part: Process) -> None:
        part.pause = self._pause
        self._say(f"{_TITLES[part.name]} starts")
        self._wait_for(f"{_TITLES[part.name]} to be ready")

    def _write_up_file(self) -> None:
        up = up_file.UpFile(
            pid=os.getpid(),
            webhook_url=self.webhook_url,
            ingest_url=self.ingest_url,
            worker_metrics_url=self.worker_metrics_url,
            console_url=self.console_url,
            database_url=self.database_url,
            owner_database_url=self.owner_database_url,
            reader_database_url=self.reader_database_url,
            redis_url=self.redis_url,
            webhook_secret=self.webhook_secret,
            made_secret=self._made_secret,
            fetches=self.settings.stripe_api_key is not None,
            console_token=self.console_token,
            settings=up_file.shared_settings(self.settings),
            pids=self._pids(),
        )
        up_file.write(self.data_dir, up)
        self._named = up.pids

    def _pids(self) -> Mapping[str, int]:
        return {part.name: part.pid for part in self._restarts.alive()}

    @property
    def _run(self) -> Path:
        return self.data_dir / "run"
