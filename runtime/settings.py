"""Read the settings of every process from the environment, check them, and freeze them.

A process builds one ``Settings`` at its start and passes it on. Nothing else reads the environment.
``SettingsError`` names all problems at once, each with its variable and its bound, so that an
operator can fix a deployment in one go. ``docs/configuration.md`` is generated from ``VARIABLES``.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runtime import sentinel_url, signing_secrets, webhook_path
from runtime.broker_url import RABBITMQ_SCHEMES, UNTRIED_SCHEMES, doubts_of_broker
from runtime.console_url import ConsoleUrl, read_console_url
from runtime.oidc_settings import RoleRule, read_issuer, read_role_rules
from runtime.server_url import check_url

Network = IPv4Network | IPv6Network
Livemode = Literal["live", "test", "any"]
Durability = Literal["checked", "trusted"]
ReconcileApply = Literal["events", "none"]

_SECRET_CHARACTERS = 43
"""Base64 of 32 bytes, without padding."""
_SECRETS_AT_ONCE = 2

OWNER_VARIABLE = "PAIDUP_OWNER_DATABASE_URL"

MAX_POOL_CHILDREN = 4
"""More children of one main process bring no gain; start another worker instead."""


class SettingsError(Exception):
    """The environment is invalid; ``problems`` has one sentence for each wrong variable."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Address(NamedTuple):
    """The address of a server: a host without brackets, and a port (0 means any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's settings; see ``VARIABLES`` for names, defaults and bounds."""

    webhook_secrets: tuple[str, ...] = field(repr=False)
    stripe_api_key: str | None = field(repr=False)
    stripe_api_base: str | None
    database_url: str | None = field(repr=False)
    owner_database_url: str | None = field(repr=False)
    application_database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    broker_url: str | None = field(repr=False)
    plans_path: Path
    livemode: Livemode
    connect_accounts: frozenset[str]
    signature_tolerance_seconds: int
    max_body_bytes: int
    console_tokens: tuple[str, ...] = field(repr=False)
    ingest_bind: Address
    console_bind: Address
    worker_metrics_bind: Address
    ingest_processes: int
    worker_processes: int
    trusted_proxies: tuple[Network, ...]
    data_dir: Path
    redis_durability: Durability
    redis_replicas: int
    redis_server: Path | None
    inbox_limit: int
    fetch_at_once: int
    stripe_requests_per_second: float | None
    reconcile: bool
    reconcile_apply: ReconcileApply
    time_zone: ZoneInfo
    console_rate: int
    console_url: ConsoleUrl | None
    console_secrets: tuple[str, ...] = field(repr=False)
    console_insecure: bool
    oidc_issuer: str | None
    oidc_client_id: str | None
    oidc_client_secret: str | None = field(repr=False)
    oidc_roles: tuple[RoleRule, ...]
    log_level: str
    webhook_path: str
    public_url: str | None
    approval_above: int | None
    doubts: tuple[str, ...] = ()
    """Sentences about values that are accepted and probably wrong; each names its variable."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every variable of ``VARIABLES``.

        Raises:
            SettingsError: a value is invalid; it names every such variable.
        """
        values, problems, doubts = _read_all(environ)
        problems += _contradictions(values, environ)
        if problems:
            raise SettingsError(tuple(problems))
        return cls(**values, doubts=tuple(doubts))  # type: ignore[arg-type]

    def effective_livemode(self) -> Livemode:
        """Return the mode whose events count: with a live API key ``any`` means ``live``."""
        live_key = (self.stripe_api_key or "").startswith(("sk_live_", "rk_live_"))
        return "live" if self.livemode == "any" and live_key else self.livemode

    @property
    def reconciles(self) -> bool:
        """True if workers compare with Stripe by schedule."""
        return self.reconcile and self.stripe_api_key is not None

    def may_fetch(self, *, livemode: bool) -> bool:
        """Return True if there is an API key that can read objects of that mode."""
        if self.stripe_api_key is None:
            return False
        mode = re.match(r"[sr]k_(live|test)_", self.stripe_api_key)
        return mode is None or (mode[1] == "live") == livemode


Parser = Callable[[str], object]
Doubts = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable, with its parser and its text for operators."""

    name: str
    attribute: str
    parse: Parser
    default: str | None
    help: str
    secret: bool = False
    doubts: Doubts = lambda _: ()
    """What to say about a text that ``parse`` accepts."""

    def read(self, environ: Mapping[str, str]) -> str | None:
        """Return the variable's text, else that of the file named by ``NAME_FILE``."""
        if (given := environ.get(self.name)) is not None:
            return given
        if (path := environ.get(f"{self.name}_FILE")) is not None:
            return _file_text(path)
        return self.default


def _file_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = f"the file {path} cannot be read: {error}"
        raise ValueError(reason) from error


def _read_all(environ: Mapping[str, str]) -> tuple[dict[str, object], list[str], list[str]]:
    """Return the values by attribute, the problems, and the doubts."""
    values: dict[str, object] = {}
    problems: list[str] = []
    doubts: list[str] = []
    for variable in VARIABLES:
        try:
            text = variable.read(environ)
            values[variable.attribute] = None if text is None else variable.parse(text)
        except ValueError as error:
            problems.append(f"{variable.name}: {error}")
        else:
            doubts += (f"{variable.name}: {says}" for says in variable.doubts(text or ""))
    return values, problems, doubts


def _contradictions(values: dict[str, object], environ: Mapping[str, str]) -> list[str]:
    problems = [
        f"{variable.name}: set twice, also by {variable.name}_FILE; keep one of them"
        for variable in VARIABLES
        if variable.name in environ and f"{variable.name}_FILE" in environ
    ]
    for derived, source in (("broker_url", "redis_url"), ("owner_database_url", "database_url")):
        if values.get(derived) is None:
            values[derived] = values.get(source)
    url = values.get("console_url")
    if isinstance(url, ConsoleUrl) and url.is_exposed and not values.get("console_insecure"):
        problems.append(
            "PAIDUP_CONSOLE_URL: must be https, because others can read along plain http; if"
            " nothing else is possible, set PAIDUP_CONSOLE_INSECURE=1"
        )
    needed = ("PAIDUP_OIDC_CLIENT_ID", "PAIDUP_OIDC_ROLES", "PAIDUP_CONSOLE_URL")
    attributes = ("oidc_client_id", "oidc_roles", "console_url")
    if values.get("oidc_issuer"):
        problems += (
            f"{name}: must be set, too, because PAIDUP_OIDC_ISSUER is"
            for name, attribute in zip(needed, attributes, strict=True)
            if not values.get(attribute)
        )
    return problems


def _text(text: str) -> str | None:
    return text.strip() or None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _accounts(text: str) -> frozenset[str]:
    accounts = frozenset(_list(text))
    if strange := sorted(a for a in accounts if not re.fullmatch(r"acct_[A-Za-z0-9_]+", a)):
        reason = f"must be account ids such as acct_1Abc, comma separated; got {strange[0]!r}"
        raise ValueError(reason)
    return accounts


def _between(least: int, most: int, unit: str) -> Parser:
    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text.strip()) else None
        if number is None or not least <= number <= most:
            reason = f"must be a whole number of {unit} from {least} to {most}; got {text!r}"
            raise ValueError(reason)
        return number

    return parse


def _rate(least: float, most: float) -> Parser:
    def parse(text: str) -> float | None:
        if not (given := text.strip()):
            return None
        number = float(given) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", given) else None
        if number is None or not least <= number <= most:
            reason = f"must be a number of requests a second from {least} to {most}; got {text!r}"
            raise ValueError(reason)
        return number

    return parse


def _one_of(*words: str) -> Parser:
    def parse(text: str) -> str:
        if (word := text.strip().lower()) not in words:
            reason = f"must be one of {', '.join(words)}; got {text!r}"
            raise ValueError(reason)
        return word

    return parse


def _url(*schemes: str) -> Parser:
    def parse(text: str) -> str | None:
        url = text.strip()
        if url and sentinel_url.scheme_of(url) not in schemes:
            # Does not repeat the value, which may hold a password.
            reason = f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"
            raise ValueError(reason)
        if url:
            check_url(url)
        if sentinel_url.is_sentinel_url(url):
            sentinel_url.read_sentinel_url(url)
        return url or None

    return parse


def _address(text: str) -> Address:
    host, separator, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:  # noqa: PLR2004 - the largest port there is
        reason = f"must be host:port, such as 127.0.0.1:8000 or [::1]:8000; got {text!r}"
        raise ValueError(reason)
    return Address(host, int(port))


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(part, strict=False) for part in _list(text))


def _console_url(text: str) -> ConsoleUrl | None:
    return read_console_url(text) if text.strip() else None


def _console_secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(re.findall(r"[^\s,]+", text))
    if any(len(secret) < _SECRET_CHARACTERS for secret in secrets):
        # Does not repeat the value.
        reason = (
            f"must have at least {_SECRET_CHARACTERS} characters, which hold 32 random bytes:"
            " `openssl rand -base64 32` prints one"
        )
        raise ValueError(reason)
    if len(secrets) > _SECRETS_AT_ONCE:
        reason = f"must hold at most {_SECRETS_AT_ONCE} secrets, the new one first"
        raise ValueError(reason)
    return secrets


def _switch(text: str) -> bool:
    return _one_of("0", "1")(text) == "1"


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        reason = f"must be a time zone such as UTC or Europe/Berlin; got {text!r}"
        raise ValueError(reason) from error


def _path(text: str) -> Path:
    if not text.strip():
        reason = "must be a path; it is empty"
        raise ValueError(reason)
    return Path(text).expanduser()


def _default_worker_processes() -> str:
    return str(max(1, min(os.cpu_count() or 1, MAX_POOL_CHILDREN)))


_DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_INBOX_SCHEMES = ("redis", "rediss", "unix", *sentinel_url.SCHEMES)
_BROKER_SCHEMES = (*_INBOX_SCHEMES, "redis+socket", *RABBITMQ_SCHEMES, *UNTRIED_SCHEMES)

VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="STRIPE_WEBHOOK_SECRET",
        attribute="webhook_secrets",
        parse=signing_secrets.read_secrets,
        default="",
        secret=True,
        doubts=signing_secrets.doubts,
        help="Signing secrets of the endpoint, comma separated while one is being rolled."
        " Each exactly as Stripe shows it: no quotes, no base64, with its `whsec_`."
        " Ingest refuses to start without one.",
    ),
    Variable(
        name="STRIPE_API_KEY",
        attribute="stripe_api_key",
        parse=_text,
        default=None,
        secret=True,
        help="Restricted key, for events that need Stripe's API. Optional.",
    ),
    Variable(
        name="STRIPE_API_BASE",
        attribute="stripe_api_base",
        parse=_url("https", "http"),
        default=None,
        help="Alternative base URL of Stripe's API, for tests and proxies. Optional.",
    ),
    Variable(
        name="DATABASE_URL",
        attribute="database_url",
        parse=_url(*_DATABASE_SCHEMES),
        default=None,
        secret=True,
        help="PostgreSQL, in any form libpq reads. Without it `paidup up` starts its own.",
    ),
    Variable(
        name=OWNER_VARIABLE,
        attribute="owner_database_url",
        parse=_url(*_DATABASE_SCHEMES),
        default=None,
        secret=True,
        help="The same database for `paidup migrate`: as the role that owns the tables, and"
        " straight to the server, never through a pooler. Default: `DATABASE_URL`.",
    ),
    Variable(
        name="PAIDUP_APPLICATION_DATABASE_URL",
        attribute="application_database_url",
        parse=_url(*_DATABASE_SCHEMES),
        default=None,
        secret=True,
        help="PostgreSQL of your own application, which `paidup compare` queries; name a role"
        " that can do nothing else. Optional.",
    ),
    Variable(
        name="REDIS_URL",
        attribute="redis_url",
        parse=_url(*_INBOX_SCHEMES),
        default=None,
        secret=True,
        help="Redis that holds the inbox: `redis://`, `rediss://`, `unix://`, or"
        " `redis+sentinel://host:26379,host2:26379/service/0`. Without it `paidup up` starts its"
        " own.",
    ),
    Variable(
        name="CELERY_BROKER_URL",
        attribute="broker_url",
        parse=_url(*_BROKER_SCHEMES),
        default=None,
        secret=True,
        doubts=doubts_of_broker,
        help="Broker that carries wake-ups to the workers: RabbitMQ (`amqp://`, `amqps://`), or"
        " Redis in the forms of `REDIS_URL`. Default: `REDIS_URL`.",
    ),
    Variable(
        name="PAIDUP_PLANS",
        attribute="plans_path",
        parse=_path,
        default="plans.toml",
        help="Path of the plans document; see `paidup plans`.",
    ),
    Variable(
        name="PAIDUP_LIVEMODE",
        attribute="livemode",
        parse=_one_of("live", "test", "any"),
        default="any",
        help="Mode of the events that count; others are ignored. `any` is for development.",
    ),
    Variable(
        name="PAIDUP_CONNECT_ACCOUNTS",
        attribute="connect_accounts",
        parse=_accounts,
        default="",
        help="Other accounts whose events count, comma separated: those in an event's `account`"
        " or `context`. Default: none.",
    ),
    Variable(
        name="PAIDUP_SIGNATURE_TOLERANCE_SECONDS",
        attribute="signature_tolerance_seconds",
        parse=_between(1, 86_400, "seconds"),
        default="300",
        help="Largest accepted difference between a signature's timestamp and the clock.",
    ),
    Variable(
        name="PAIDUP_MAX_BODY_BYTES",
        attribute="max_body_bytes",
        parse=_between(1024, 16_777_216, "bytes"),
        default="1048576",
        help="Largest accepted webhook body.",
    ),
    Variable(
        name="PAIDUP_CONSOLE_TOKENS",
        attribute="console_tokens",
        parse=_list,
        default="",
        secret=True,
        help="Bearer tokens of the console and the read API, comma separated: `name:role:sha256` as"
        " `paidup console token NAME` prints them, or plain. The role is `reader`, `viewer` or"
        " `operator`; without one it is `reader`, which never writes. Viewers and operators may log"
        " in to the pages, and a viewer changes nothing there. Without a token all reads are"
        " refused.",
    ),
    Variable(
        name="PAIDUP_INGEST_BIND",
        attribute="ingest_bind",
        parse=_address,
        default="127.0.0.1:8000",
        help="Address on which ingest listens for Stripe (behind a proxy).",
    ),
    Variable(
        name="PAIDUP_WEBHOOK_PATH",
        attribute="webhook_path",
        parse=webhook_path.read_path,
        default=webhook_path.DEFAULT,
        help="Path at which ingest takes Stripe's deliveries, with or without a slash at its end."
        " A proxy in front must let the same path through.",
    ),
    Variable(
        name="PAIDUP_PUBLIC_URL",
        attribute="public_url",
        parse=_url("https", "http"),
        default=None,
        help="URL at which Stripe reaches ingest, such as `https://hooks.example.com/webhooks/stripe`;"
        " `paidup doctor --stripe` finds the endpoint at Stripe by it. Optional.",
    ),
    Variable(
        name="PAIDUP_CONSOLE_BIND",
        attribute="console_bind",
        parse=_address,
        default="127.0.0.1:8001",
        help="Address of the console and the read API. Never a public address.",
    ),
    Variable(
        name="PAIDUP_WORKER_METRICS_BIND",
        attribute="worker_metrics_bind",
        parse=_address,
        default="127.0.0.1:9101",
        help="Address on which a worker's supervisor serves `/metrics` and `/livez`.",
    ),
    Variable(
        name="PAIDUP_INGEST_PROCESSES",
        attribute="ingest_processes",
        parse=_between(1, 64, "processes"),
        default="2",
        help="Server processes of one `paidup ingest`.",
    ),
    Variable(
        name="PAIDUP_WORKER_PROCESSES",
        attribute="worker_processes",
        parse=_between(1, 64, "processes"),
        default=_default_worker_processes(),
        help="Pool children of one `paidup worker`. Default: the CPUs, at most four.",
    ),
    Variable(
        name="PAIDUP_TRUSTED_PROXIES",
        attribute="trusted_proxies",
        parse=_networks,
        default="",
        help="Networks whose `X-Forwarded-For` is trusted, comma separated. Default: none.",
    ),
    Variable(
        name="PAIDUP_DATA_DIR",
        attribute="data_dir",
        parse=_path,
        default=".paidup",
        help="Folder for the data of servers that `paidup up` starts, its logs and `up.json`.",
    ),
    Variable(
        name="PAIDUP_REDIS_DURABILITY",
        attribute="redis_durability",
        parse=_one_of("checked", "trusted"),
        default="checked",
        help="`trusted` skips the check of Redis' settings, for managed servers that hide them.",
    ),
    Variable(
        name="PAIDUP_REDIS_REPLICAS",
        attribute="redis_replicas",
        parse=_between(0, 10, "replicas"),
        default="0",
        help="Replicas that must have an event on disk before it is acknowledged. With fewer,"
        " ingest answers 503.",
    ),
    Variable(
        name="PAIDUP_REDIS_SERVER",
        attribute="redis_server",
        parse=_path,
        default=None,
        help="The redis-server or valkey-server binary that `paidup up` starts. Optional.",
    ),
    Variable(
        name="PAIDUP_INBOX_LIMIT",
        attribute="inbox_limit",
        parse=_between(1, 1_000_000_000, "events"),
        default="5000000",
        help="Unsettled events above which ingest answers 503, so that Stripe keeps the rest.",
    ),
    Variable(
        name="PAIDUP_TIME_ZONE",
        attribute="time_zone",
        parse=_zone,
        default="UTC",
        help="The zone of the start and end of grants that name none, such as `Europe/Berlin`: a"
        " grant until a date ends with that day there. All other times are UTC.",
    ),
    Variable(
        name="PAIDUP_CONSOLE_RATE",
        attribute="console_rate",
        parse=_between(1, 1_000_000, "requests a second"),
        default="1000",
        help="Requests a second for each token at one console; more are answered with 429.",
    ),
    Variable(
        name="PAIDUP_CONSOLE_URL",
        attribute="console_url",
        parse=_console_url,
        default=None,
        help="URL at which people open the console's pages, with the path under which a proxy"
        " serves it, such as `https://ops.example.com/paidup`. Pages under another host are"
        " refused. Without it only this machine itself may log in.",
    ),
    Variable(
        name="PAIDUP_CONSOLE_SECRET",
        attribute="console_secrets",
        parse=_console_secrets,
        default="",
        secret=True,
        help="Secret that signs the cookies of people who log in, the same for all consoles, such"
        " as `openssl rand -base64 32` prints. A second one, on a line of its own or after a comma,"
        " is accepted while the first one replaces it. Without a secret log in is off.",
    ),
    Variable(
        name="PAIDUP_CONSOLE_INSECURE",
        attribute="console_insecure",
        parse=_switch,
        default="0",
        help="`1` lets people log in over plain http at a `PAIDUP_CONSOLE_URL` of another machine;"
        " each page then says that others can read along.",
    ),
    Variable(
        name="PAIDUP_OIDC_ISSUER",
        attribute="oidc_issuer",
        parse=read_issuer,
        default=None,
        help="Issuer of an OpenID Connect provider by which people log in to the pages, such as"
        " `https://login.example.com/realms/staff`; it must know the redirect URI"
        " `PAIDUP_CONSOLE_URL` + `/login/oidc/callback`. Optional.",
    ),
    Variable(
        name="PAIDUP_OIDC_CLIENT_ID",
        attribute="oidc_client_id",
        parse=_text,
        default=None,
        help="The name under which that provider knows the console.",
    ),
    Variable(
        name="PAIDUP_OIDC_CLIENT_SECRET",
        attribute="oidc_client_secret",
        parse=_text,
        default=None,
        secret=True,
        help="The secret that belongs to it. Without one the console is a public client.",
    ),
    Variable(
        name="PAIDUP_OIDC_ROLES",
        attribute="oidc_roles",
        parse=read_role_rules,
        default="",
        help="The role by a claim of the ID token: `claim:value=role`, comma separated, such as"
        " `groups:billing-ops=operator,groups:support=viewer`. The highest role that matches"
        " counts; without a match there is no access.",
    ),
    Variable(
        name="PAIDUP_FETCH_AT_ONCE",
        attribute="fetch_at_once",
        parse=_between(1, 16, "requests"),
        default="2",
        help="Concurrent requests to Stripe's API, of all workers together.",
    ),
    Variable(
        name="PAIDUP_STRIPE_REQUESTS_PER_SECOND",
        attribute="stripe_requests_per_second",
        parse=_rate(0.1, 100),
        default="",
        help="Requests a second to Stripe's API, of everything that asks it, for each account."
        " Default: a fifth of Stripe's limit, which is 20 in live mode and 5 in test mode.",
    ),
    Variable(
        name="PAIDUP_RECONCILE",
        attribute="reconcile",
        parse=_switch,
        default="1",
        help="`1` lets the workers compare with Stripe by schedule, if there is a `STRIPE_API_KEY`"
        " (docs/reconcile.md); `0` leaves it to `paidup reconcile`.",
    ),
    Variable(
        name="PAIDUP_RECONCILE_APPLY",
        attribute="reconcile_apply",
        parse=_one_of("events", "none"),
        default="events",
        help="`events` lets the schedule put in events that never arrived, as Stripe would have"
        " delivered them; `none` only reports them. Objects that differ always wait for a person.",
    ),
    Variable(
        name="PAIDUP_APPROVAL_ABOVE",
        attribute="approval_above",
        parse=_between(1, 1_000_000_000, "events"),
        default=None,
        help="A bulk action on more events than this waits until a second person approves it"
        " (`paidup jobs approve PLAN`). Unset, none does.",
    ),
    Variable(
        name="PAIDUP_LOG_LEVEL",
        attribute="log_level",
        parse=_one_of("debug", "info", "warning", "error"),
        default="info",
        help="Lowest level of log lines that are written.",
    ),
)


def required(value: str | None, name: str) -> str:
    """Return a setting that this process requires.

    Raises:
        SettingsError: it is not set.
    """
    if value is None:
        raise SettingsError((f"{name}: must be set for this command (or start `paidup up` first)",))
    return value
