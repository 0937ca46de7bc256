"""``up.json``, by which other commands find the stack of ``paidup up`` on this machine.

It holds passwords, the signing secret and a token, so only its owner may read it. It is valid while
the ``up`` that wrote it runs; a file left behind by a killed one is ignored.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ops.errors import NoServerConfigured
from ops.up.servers import pidfile
from ops.up.servers.secret_file import write_private
from runtime.settings import OWNER_VARIABLE, Settings

_SERVERS = {"DATABASE_URL": "database_url", "REDIS_URL": "redis_url"}
_NAMED = (*_SERVERS, OWNER_VARIABLE)
_PLANS = "PAIDUP_PLANS"
_PLANS_HERE = Path("plans.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpFile:
    """The addresses, credentials and process ids of a running stack."""

    pid: int
    webhook_url: str
    ingest_url: str
    worker_metrics_url: str
    console_url: str
    database_url: str = field(repr=False)
    """The database as the services' role."""
    owner_database_url: str = field(repr=False)
    reader_database_url: str | None = field(repr=False)
    """The database as the role of applications; None if the operator named the server."""
    redis_url: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    made_secret: bool
    """``up`` made the signing secret itself, so nothing that Stripe sends matches it."""
    fetches: bool
    """The worker has an API key. The key itself is not written to a disk."""
    console_token: str | None = field(repr=False)
    """A token to read with; None if the operator set hashes only."""
    settings: Mapping[str, str] = field(repr=False)
    """Variables by which a command must judge as the services do."""
    pids: Mapping[str, int]

    def as_environ(self) -> dict[str, str]:
        """Return the variables that point a command at these servers."""
        return {
            "DATABASE_URL": self.database_url,
            OWNER_VARIABLE: self.owner_database_url,
            "REDIS_URL": self.redis_url,
            **self.settings,
        }

    def takes_only_ours(self, secrets: Sequence[str]) -> bool:
        """Return True if a service with these secrets takes no event that Stripe signed."""
        return self.made_secret and list(secrets) == [self.webhook_secret]


def shared_settings(settings: Settings) -> dict[str, str]:
    """Return the variables by which every command must judge as the services do."""
    return {
        "STRIPE_WEBHOOK_SECRET": ",".join(settings.webhook_secrets),
        "PAIDUP_WEBHOOK_PATH": settings.webhook_path,
        "PAIDUP_LIVEMODE": settings.effective_livemode(),
        "PAIDUP_CONNECT_ACCOUNTS": ",".join(sorted(settings.connect_accounts)),
        "PAIDUP_CONSOLE_TOKENS": ",".join(settings.console_tokens),
        "PAIDUP_TIME_ZONE": settings.time_zone.key,
        _PLANS: str(settings.plans_path),
    }


def path_in(data_dir: Path) -> Path:
    """Return the path of the file."""
    return data_dir / "up.json"


def lock_in(data_dir: Path) -> Path:
    """Return the pid file that a running ``up`` holds."""
    return data_dir / "up.pid"


def write(data_dir: Path, up: UpFile) -> None:
    """Replace the file, readable by its owner only."""
    write_private(path_in(data_dir), json.dumps(asdict(up), indent=2) + "\n")


def read(data_dir: Path) -> UpFile | None:
    """Read the file of a running ``up``; return None if none runs on the folder."""
    if not pidfile.is_held(lock_in(data_dir)):
        return None
    try:
        return UpFile(**json.loads(path_in(data_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def data_dir_of(environ: Mapping[str, str]) -> Path:
    """Return the data folder of an environment, validated like every other setting."""
    names = ("PAIDUP_DATA_DIR", "PAIDUP_DATA_DIR_FILE")
    return Settings.from_env({name: environ[name] for name in names if name in environ}).data_dir


def running(environ: Mapping[str, str]) -> UpFile | None:
    """Return the running ``up`` whose servers the environment means.

    It means none if it names a server that is not ``up``'s: half of a production deployment must
    never be mixed with half of a local one.
    """
    up = read(data_dir_of(environ))
    return up if up is not None and _agrees(environ, up) else None


def completed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, with missing variables taken from a running ``up``.

    The plans of ``up`` are not taken in a folder that has a ``plans.toml``.
    """
    up = running(environ)
    if up is None:
        return dict(environ)
    ours = {
        name: value
        for name, value in up.as_environ().items()
        if not environ.get(name) and f"{name}_FILE" not in environ
    }
    if _PLANS_HERE.exists():
        ours.pop(_PLANS, None)
    return {**environ, **ours}


def settings(environ: Mapping[str, str], *needed: str) -> Settings:
    """Return the settings of a command, from the environment or from a running ``up``.

    Raises:
        SettingsError: naming every variable that is out of bounds.
        NoServerConfigured: if a needed server is not configured.
    """
    found = Settings.from_env(completed(environ))
    for name in needed:
        if getattr(found, _SERVERS[name]) is None:
            raise NoServerConfigured(name, found.data_dir.absolute())
    return found


def _agrees(environ: Mapping[str, str], up: UpFile) -> bool:
    if any(f"{name}_FILE" in environ for name in _NAMED):
        return False
    # One database under two roles: the operator may name it as its owner.
    databases = {up.database_url, up.owner_database_url}
    ours = {"DATABASE_URL": databases, OWNER_VARIABLE: databases, "REDIS_URL": {up.redis_url}}
    return all(environ[name] in ours[name] for name in _NAMED if environ.get(name))
