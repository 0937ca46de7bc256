"""Check a whole deployment without changing anything."""

from collections.abc import Iterator, Mapping

from ops.doctor.check_broker import check_broker
from ops.doctor.check_disks import check_disks
from ops.doctor.check_metrics import check_metrics
from ops.doctor.check_operators import check_operators
from ops.doctor.check_postgres import check_postgres
from ops.doctor.check_redis import check_redis
from ops.doctor.check_refused import check_refused
from ops.doctor.check_secrets import check_livemode, check_secrets
from ops.doctor.check_workers import check_workers
from ops.doctor.findings import Finding, ok, problem
from ops.up import up_file
from runtime.settings import Settings, SettingsError


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings of every check, in the order of a start; servers come last."""
    try:
        settings, up = Settings.from_env(up_file.completed(environ)), up_file.running(environ)
    except SettingsError as error:
        yield from (problem("configuration", says) for says in error.problems)
        return
    yield ok("configuration", "every variable is valid")
    yield from check_secrets(settings, up)
    yield from check_operators(settings)
    yield from check_livemode(settings, up)
    yield from check_metrics(settings)
    yield from check_disks(settings)
    yield from examine_servers(settings)


def examine_servers(settings: Settings) -> Iterator[Finding]:
    """Yield the findings that every machine of a deployment sees alike: those of the servers."""
    yield from check_redis(settings)
    yield from check_broker(settings)
    yield from check_refused(settings)
    yield from check_workers(settings)
    yield from check_postgres(settings)
