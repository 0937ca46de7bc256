"""The roles in PostgreSQL: an owner that migrates, one for the services, one for applications.

The services can add to the audit and to the record of money, and neither change nor delete what
stands there. They own no table, so they can drop no trigger either.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from secrets import token_urlsafe
from typing import Final

import psycopg
from psycopg import errors, pq, sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, text
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
    address: tuple[str | None, ...] = ()
    """Where the URL leads: libpq's service, host, address and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesSetUp:
    """The changes that a migration made to the roles, and those that its own role may not make."""

    done: tuple[str, ...]
    """One sentence for each change, without a password."""
    left: tuple[str, ...]
    """The statements that an administrator must run, without a password."""


def login_of(database_url: str | None) -> Login:
    """Return the role and the address that a URL names, else those that libpq would take.

    Raises:
        UnusableDatabaseUrl: the URL is not one of PostgreSQL.
    """
    given = conninfo_to_dict(conninfo_of(database_url))
    defaults = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val is not None
    }
    found = {name: str(value) for name, value in {**defaults, **given}.items()}
    return Login(
        role=found.get("user", ""),
        password=None if given.get("password") is None else found["password"],
        address=tuple(found.get(name) for name in ("service", "host", "hostaddr", "port")),
    )


def can_log_in(owner_url: str | None, login: Login) -> bool:
    """Return whether the role can log in on the owner's way to the server."""
    return _refusal(owner_url, login) is None


def _refusal(owner_url: str | None, login: Login) -> psycopg.OperationalError | None:
    try:
        psycopg.connect(
            conninfo_of(owner_url),
            user=login.role,
            password=login.password,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        ).close()
    except psycopg.OperationalError as error:
        return error
    return None


def _is_of_password(refusal: psycopg.OperationalError, owner_url: str | None, login: Login) -> bool:
    """Return whether the server asked for the password and refused it.

    libpq tells no SQLSTATE of a login that failed, and the message is in the server's language. A
    random password is wrong, so the refusal of a wrong one reads the same.
    """
    other = _refusal(owner_url, replace(login, password=token_urlsafe()))
    asked = all(each and each.pgconn and each.pgconn.used_password for each in (refusal, other))
    return asked and str(refusal) == str(other)


# Create the roles ----------------------------------------------------------------------------


def set_up_roles(engine: Engine, database_url: str | None, owner_url: str | None) -> RolesSetUp:
    """Create the roles that are missing, and give each its rights, as far as our role may.

    The role of ``database_url`` gets the rights of ``APPLICATION_ROLE``. If it is that role, and no
    other database uses it, it also gets the URL's password when the server refuses that one. One
    role for everything is allowed; the other roles then wait until they are used.
    """
    done: list[str] = []
    left: list[str] = []
    with engine.connect() as connection:
        login = _login_to_set_up(connection, database_url, owner_url)
        named = None if isinstance(login, _ByHand) else login
        for change in _missing(connection, named, owner_url):
            connection.rollback()  # ends the transaction that read: each change has one of its own
            refused = _run_alone(connection, change)
            if refused is None:
                done.append(change.says)
            else:
                left.append(change.shown + refused)
    with engine.begin() as connection:
        grant_all(connection)
        left += _closed(connection)
        table = connection.scalar(text("SELECT 'audit_logs'::regclass::oid"))
    if isinstance(login, _ByHand) and not _may_add(database_url, table):
        left.append(login.shown)
    return RolesSetUp(done=tuple(done), left=tuple(left))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One statement about a role: as it is run, as it is shown, and what it did."""

    statement: str | None = field(repr=False)
    """None if only an administrator can know whether it is right."""
    shown: str
    says: str


@dataclass(frozen=True, slots=True)
class _ByHand:
    """A login whose name need not be that of a role, with what to do about it."""

    shown: str


def _login_to_set_up(
    connection: Connection, database_url: str | None, owner_url: str | None
) -> Login | _ByHand | None:
    """Return the login of the services; None if the owner is also theirs.

    Poolers have names of their own for roles, such as ``paidup_app.PROJECT``. So a name is trusted
    if it is ours, or if it goes the way on which the owner's name is that of a role.
    """
    login, owner = login_of(database_url), login_of(owner_url)
    ours = connection.execute(text("SELECT current_user, session_user")).one()
    if login.role == ours.current_user:
        return None
    is_same_way = login.address == owner.address and owner.role == ours.session_user
    if login.role == APPLICATION_ROLE or is_same_way:
        return login
    return _ByHand(
        f"-- by hand: DATABASE_URL does not lead where the owner's URL does, or a pooler stands"
        f" there, so a role may have another name than {login.role}. Let that role log in and grant"
        f" it {APPLICATION_ROLE}, or let {APPLICATION_ROLE} log in:"
        f" `ALTER ROLE {APPLICATION_ROLE} LOGIN`"
    )


def _may_add(database_url: str | None, table: object) -> bool:
    """Return whether the services can log in by their URL, and add to a table given by its oid."""
    query = "SELECT has_table_privilege(%s::oid, 'INSERT')"
    try:
        with psycopg.connect(
            conninfo_of(database_url), connect_timeout=CONNECT_TIMEOUT_SECONDS
        ) as connection:
            return connection.execute(query, (table,)).fetchone() == (True,)
    except psycopg.Error:
        return False


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
    elif login.password is not None and (refusal := _refusal(owner_url, login)):
        change = _with_password(connection, "ALTER", login)
        if reason := _reason_to_ask(connection, login, owner_url, refusal):
            change = replace(change, statement=None, shown=f"{change.shown} ({reason})")
        yield change
    if login.role != APPLICATION_ROLE and not _has_rights_of_services(connection, login.role):
        plain = f"GRANT {APPLICATION_ROLE} TO {_quoted(connection, login.role)}"
        says = f"{login.role} has the rights of {APPLICATION_ROLE} now"
        yield _Change(statement=plain, shown=f"{plain};", says=says)


_STATE: Final = text(
    "SELECT rolcanlogin AS may_log_in, EXISTS ("
    "SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass"
    " AND refobjid = pg_roles.oid AND dbid NOT IN"
    " (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
    ") AS is_used_elsewhere FROM pg_roles WHERE rolname = :role"
)
"""Whether a role may log in, and owns anything or has any right in another database."""


def _reason_to_ask(
    connection: Connection,
    login: Login,
    owner_url: str | None,
    refusal: psycopg.OperationalError,
) -> str | None:
    """Return why an administrator must decide on a new password; None if the role is ours alone."""
    if login.role != APPLICATION_ROLE:
        return f"the role existed, and `migrate` sets the password of {APPLICATION_ROLE} only"
    found = connection.execute(_STATE, {"role": login.role}).one()
    if found.is_used_elsewhere:
        return "another database of this server uses the role, too"
    if found.may_log_in and not _is_of_password(refusal, owner_url, login):
        return _first_line(refusal)
    return None


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


def _run_alone(connection: Connection, change: _Change) -> str | None:
    """Run a change in a transaction of its own; return None if it is done, else what to add to it.

    A server may refuse a change as late as at COMMIT, as Neon refuses a hash of a password.
    """
    if change.statement is None:
        return ""
    try:
        with connection.begin():
            _execute(connection, change.statement)
    except DBAPIError as error:
        return _refused(error)
    return None


def _may(connection: Connection, statement: str) -> bool:
    """Run a statement within a transaction; return False if the server refuses it."""
    try:
        with connection.begin_nested():
            _execute(connection, statement)
    except DBAPIError as error:
        return _refused(error) is None
    return True


def _execute(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _refused(error: DBAPIError) -> str | None:
    """Return what an administrator should know of a refusal; None if there is nothing to do.

    Raises:
        DBAPIError: the connection is lost.
    """
    # Roles belong to the server: another database's migration may have been faster.
    if isinstance(error.orig, errors.DuplicateObject | errors.UniqueViolation):
        return None
    # A role that we were not allowed to create is also undefined for the next statement.
    if isinstance(error.orig, errors.InsufficientPrivilege | errors.UndefinedObject):
        return ""
    if error.connection_invalidated:
        raise error
    return f"  -- the server says: {_first_line(error.orig)}"


def _first_line(error: BaseException | None) -> str:
    return str(error).partition("\n")[0]


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
    if name in {*VIEWS, "alembic_version", "schema_release"}:
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
