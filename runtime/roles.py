"""The roles in PostgreSQL: an owner that migrates, one for the services, one for applications.

The services can add to the audit and to the record of money, and neither change nor delete what
stands there. They own no table, so they can drop no trigger either.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg import errors, pq, sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from models.tables import APPEND_ONLY, VIEWS, metadata
from runtime.database.engine import conninfo_of
from runtime.time_limits import CONNECT_TIMEOUT_SECONDS

APPLICATION_ROLE: Final = "paidup_app"
"""The role of the services: it can add to the append-only tables, never change them."""

READER_ROLE: Final = "paidup_reader"
"""The role of applications: it reads what users are entitled to, and nothing else."""

_FOR_READERS: Final = (*VIEWS, "user_entitlements")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The role by which the services connect, as their URL names it."""

    role: str
    password: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesSetUp:
    """The changes that a migration made to the roles, and those that its own role may not make."""

    done: tuple[str, ...]
    """One sentence for each change, without a password."""
    left: tuple[str, ...]
    """The statements that an administrator must run, without a password."""


def login_of(database_url: str | None) -> Login:
    """Return the role that a URL names, else the one that libpq would take.

    Raises:
        UnusableDatabaseUrl: the URL is not one of PostgreSQL.
    """
    given = conninfo_to_dict(conninfo_of(database_url))
    defaults = {option.keyword: option.val for option in pq.Conninfo.get_defaults()}
    default = defaults.get(b"user") or b""
    password = given.get("password")
    return Login(
        role=str(given.get("user") or default.decode()),
        password=None if password is None else str(password),
    )


def can_log_in(owner_url: str | None, login: Login) -> bool:
    """Return whether the role can log in on the owner's way to the server."""
    try:
        psycopg.connect(
            conninfo_of(owner_url),
            user=login.role,
            password=login.password,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        ).close()
    except psycopg.OperationalError:
        return False
    return True


# Create the roles ----------------------------------------------------------------------------


def set_up_roles(connection: Connection, login: Login, owner_url: str | None) -> RolesSetUp:
    """Create the roles that are missing, and give each its rights, as far as our role may.

    ``login`` gets the rights of ``APPLICATION_ROLE``, and its password if it cannot log in. One
    role for everything is allowed; the other roles then wait until they are used.
    """
    ours = connection.scalar(text("SELECT current_user"))
    done: list[str] = []
    left: list[str] = []
    for change in _missing(connection, login if login.role != ours else None, owner_url):
        if _may(connection, change.statement):
            done.append(change.says)
        else:
            left.append(change.shown)
    grant_all(connection)
    left += _closed(connection)
    return RolesSetUp(done=tuple(done), left=tuple(left))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One statement about a role: as it is run, as it is shown, and what it did."""

    statement: str = field(repr=False)
    shown: str
    says: str


def _missing(
    connection: Connection, login: Login | None, owner_url: str | None
) -> Iterator[_Change]:
    """Yield the changes in their order; the next one may depend on the one before."""
    for role in (APPLICATION_ROLE, READER_ROLE):
        if not _role_exists(connection, role) and (login is None or role != login.role):
            plain = f"CREATE ROLE {_quoted(connection, role)}"
            yield _Change(statement=plain, shown=f"{plain};", says=f"created the role {role}")
    if login is None:
        return
    if not _role_exists(connection, login.role):
        yield _with_password(connection, "CREATE", login)
    elif login.password is not None and not can_log_in(owner_url, login):
        yield _with_password(connection, "ALTER", login)
    if login.role != APPLICATION_ROLE and not _has_rights_of_services(connection, login.role):
        plain = f"GRANT {APPLICATION_ROLE} TO {_quoted(connection, login.role)}"
        says = f"{login.role} has the rights of {APPLICATION_ROLE} now"
        yield _Change(statement=plain, shown=f"{plain};", says=says)


def _with_password(connection: Connection, verb: str, login: Login) -> _Change:
    """Return the change that lets a role log in. Only a hash of the password reaches the server."""
    statement = f"{verb} ROLE {_quoted(connection, login.role)} LOGIN"
    shown = f"{statement};"
    if login.password is not None:
        hashed = _driver(connection).pgconn.encrypt_password(
            login.password.encode(), login.role.encode(), b"scram-sha-256"
        )
        statement += f" PASSWORD {_as_text(connection, sql.Literal(hashed.decode()))}"
        shown += f"  -- then `\\password {login.role}` in psql: the one in DATABASE_URL"
    did = "created the role" if verb == "CREATE" else "set the password of the role"
    return _Change(
        statement=statement,
        shown=shown,
        says=f"{did} {login.role} as DATABASE_URL names it",
    )


def _may(connection: Connection, statement: str) -> bool:
    """Run a statement about roles; return False if our role is not allowed to."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    except DBAPIError as error:
        # A role that we were not allowed to create is also undefined for the next statement.
        if isinstance(error.orig, errors.InsufficientPrivilege | errors.UndefinedObject):
            return False
        # Roles belong to the server: another database's migration may have been faster.
        if not isinstance(error.orig, errors.DuplicateObject | errors.UniqueViolation):
            raise
    return True


# Grant rights --------------------------------------------------------------------------------


def grant_all(connection: Connection) -> None:
    """Grant each role that exists its rights on every table and view."""
    grant_rights(connection, APPLICATION_ROLE)
    grant_reading(connection, READER_ROLE)


def grant_rights(connection: Connection, role: str) -> bool:
    """Grant ``role`` what its work needs; append-only tables it can read and add to, never change.

    Return False and do nothing if the role does not exist.
    """
    if not _role_exists(connection, role):
        return False
    for name in (*metadata.tables, *VIEWS, "alembic_version"):
        _grant(connection, ", ".join(rights_on(name)), name, role)
    _let_in(connection, role)
    return True


def grant_reading(connection: Connection, role: str) -> bool:
    """Grant ``role`` the views for applications; return False if the role does not exist."""
    if not _role_exists(connection, role):
        return False
    for name in _FOR_READERS:
        _grant(connection, "SELECT", name, role)
    _let_in(connection, role)
    return True


def rights_on(name: str) -> tuple[str, ...]:
    """Return the rights that the services need on a table or view, and have no more than."""
    if name in {*VIEWS, "alembic_version"}:
        return ("SELECT",)
    if name in APPEND_ONLY:
        return ("SELECT", "INSERT")
    return ("SELECT", "INSERT", "UPDATE", "DELETE")


def _grant(connection: Connection, rights: str, name: str, role: str) -> None:
    quoted = _quoted(connection, role)
    connection.execute(text(f"REVOKE ALL ON {name} FROM {quoted}"))
    connection.execute(text(f"GRANT {rights} ON {name} TO {quoted}"))


def _let_in(connection: Connection, role: str) -> None:
    """Open database and schema, where a cautious administrator closed them and we may."""
    for statement in _entries_missing(connection, role):
        _may(connection, statement)


def _closed(connection: Connection) -> list[str]:
    """Return the statements that open what is still closed; GRANT only warns if it may not."""
    return [
        f"{statement};"
        for role in (APPLICATION_ROLE, READER_ROLE)
        if _role_exists(connection, role)
        for statement in _entries_missing(connection, role)
    ]


_ENTRIES: Final = text(
    "SELECT current_database() AS database, nspname AS schema,"
    " has_database_privilege(:role, current_database(), 'CONNECT') AS may_connect,"
    " has_schema_privilege(:role, pg_namespace.oid, 'USAGE') AS may_use"
    " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE pg_class.oid = 'audit_logs'::regclass"
)


def _entries_missing(connection: Connection, role: str) -> list[str]:
    found = connection.execute(_ENTRIES, {"role": role}).one()
    quoted = _quoted(connection, role)
    missing = []
    if not found.may_connect:
        missing.append(f"GRANT CONNECT ON DATABASE {_quoted(connection, found.database)}")
    if not found.may_use:
        missing.append(f"GRANT USAGE ON SCHEMA {_quoted(connection, found.schema)}")
    return [f"{grant} TO {quoted}" for grant in missing]


def _role_exists(connection: Connection, role: str) -> bool:
    query = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    return connection.scalar(query, {"role": role}) is not None


def _has_rights_of_services(connection: Connection, role: str) -> bool:
    if not (_role_exists(connection, role) and _role_exists(connection, APPLICATION_ROLE)):
        return False
    query = text("SELECT pg_has_role(:role, :services, 'USAGE')")
    return bool(connection.scalar(query, {"role": role, "services": APPLICATION_ROLE}))


def _quoted(connection: Connection, name: str) -> str:
    """Return the name as an administrator would write it: in quotes only if it needs them."""
    if connection.dialect.identifier_preparer.quote(name) == name:
        return name
    return _as_text(connection, sql.Identifier(name))


def _as_text(connection: Connection, statement: sql.Composable) -> str:
    return statement.as_string(_driver(connection))


def _driver(connection: Connection) -> "psycopg.Connection[tuple[object, ...]]":
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection), "our engines use psycopg"  # noqa: S101 - types
    return driver
