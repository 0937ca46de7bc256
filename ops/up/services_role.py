"""Give the services of a stack a role of their own on a PostgreSQL that the operator named."""

from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ops.up.servers.secret_file import kept_secret
from runtime.database.engine import conninfo_of, engine_for
from runtime.database.pooler import is_behind_pooler
from runtime.roles import APPLICATION_ROLE, can_log_in, login_of

_IN_USE: Final = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role AND rolcanlogin)")


def password_in(data_dir: Path) -> str:
    """Return the password of the services' role, generated with the folder."""
    return kept_secret(data_dir / "services_password")


def services_url(owner_url: str, data_dir: Path) -> str:
    """Return the URL by which the services shall connect: as their role, which a migration makes.

    If another program logs in as that role, its password stays, and the owner runs the services.
    """
    services = _as_services(owner_url, password_in(data_dir))
    engine = engine_for(owner_url, application_name="paidup up")
    try:
        with engine.connect() as connection:
            in_use = connection.scalar(_IN_USE, {"role": APPLICATION_ROLE})
            pooled = is_behind_pooler(connection)
    except DBAPIError:
        return owner_url  # the migration says what is wrong with it
    finally:
        engine.dispose()
    return owner_url if pooled or (in_use and not works(owner_url, services)) else services


def works(owner_url: str, services: str) -> bool:
    """Return whether the services can log in by their URL."""
    return can_log_in(owner_url, login_of(services))


def _as_services(owner_url: str, password: str) -> str:
    given = conninfo_to_dict(conninfo_of(owner_url))
    options = {**given, "user": APPLICATION_ROLE, "password": password}
    return f"postgresql://?{urlencode(options, quote_via=quote)}"
