"""What is wrong with a deployment, found by looking at all of it and changing nothing."""

from collections.abc import Iterator, Mapping

from ops import upfile
from ops.checks.postgres import check_postgres
from ops.checks.redis import check_redis
from ops.checks.secrets import check_livemode, check_secrets
from ops.findings import Finding, ok, problem
from runtime.settings import Settings, SettingsError


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that was looked at, in the order of a start; servers are asked last."""
    try:
        settings = Settings.from_env(upfile.completed(environ))
    except SettingsError as error:
        yield from (problem("configuration", says) for says in error.problems)
        return
    yield ok("configuration", "every variable is within its bounds")
    yield from check_secrets(settings)
    yield from check_livemode(settings)
    yield from check_redis(settings)
    yield from check_postgres(settings)
