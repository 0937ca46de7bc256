"""A migration sets up the roles where its own role may, and says what an administrator must run."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, event, text

from models.tables import APPEND_ONLY
from ops.up.servers.postgres_server import Postgres
from runtime import roles, schema
from runtime.database.deadline import DeadlineConnection
from runtime.database.engine import engine_for
from runtime.roles import Login, RolesSetUp, login_of
from tests.commit_refusal import refuse_services_role

pytestmark = pytest.mark.servers

_numbers = count(1)
PASSWORD = "a'pass%word\\of this test"
SERVICES = Login(role=roles.APPLICATION_ROLE, password=PASSWORD)
OTHER = Login(role="Billing services", password=PASSWORD)


@dataclass
class RolesSite:
    """A database of its own, and an owner with or without rights over roles."""

    server: Postgres
    name: str

    @property
    def admin(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.server.admin_url, dbname=self.name, autocommit=True)

    def url(self, user: str, password: str) -> str:
        where = urlsplit(self.server.url)
        return f"postgresql://{where.hostname}:{where.port}/{self.name}?user={user}&password={password}"

    @property
    def owner_url(self) -> str:
        return self.url("the_owner", "owners")

    def migrate(self, login: Login, *, url: str | None = None) -> RolesSetUp:
        return self.migrate_by(self.url_of(login), url=url)

    def migrate_by(self, services_url: str, *, url: str | None = None) -> RolesSetUp:
        url = url or self.owner_url
        engine = engine_for(url, application_name="test")
        try:
            schema.upgrade(engine)
            return roles.set_up_roles(engine, services_url, url)
        finally:
            engine.dispose()

    def password_of(self, role: str) -> object:
        """Return the hash that the server keeps."""
        with self.admin as admin:
            query = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
            return admin.execute(query, (role,)).fetchone()

    def engine(self, login: Login) -> Engine:
        return engine_for(self.url_of(login), application_name="test")

    def url_of(self, login: Login) -> str:
        connect = psycopg.conninfo.make_conninfo(user=login.role, password=login.password)
        options = psycopg.conninfo.conninfo_to_dict(connect)
        quoted = "&".join(f"{k}={_quoted(str(v))}" for k, v in options.items())
        where = urlsplit(self.server.url)
        return f"postgresql://{where.hostname}:{where.port}/{self.name}?{quoted}"


def _quoted(value: str) -> str:
    return "".join(c if c.isalnum() else "".join(f"%{b:02X}" for b in c.encode()) for c in value)


@pytest.fixture
def deployment(postgres_server: Postgres) -> Iterator[RolesSite]:
    name = f"roles_{os.getpid()}_{next(_numbers)}"
    postgres_server.create_database(name)
    made = RolesSite(postgres_server, name)
    with made.admin as admin:
        admin.execute("CREATE ROLE the_owner LOGIN PASSWORD 'owners'")
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO the_owner").format(sql.Identifier(name)))
    yield made
    postgres_server.drop_database(name)
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        for role in (OTHER.role, roles.READER_ROLE, roles.APPLICATION_ROLE, "the_owner"):
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def creator(deployment: RolesSite) -> RolesSite:
    """Let the owner create roles, as the first user of a managed server may."""
    with deployment.admin as admin:
        admin.execute("ALTER ROLE the_owner CREATEROLE")
    return deployment


def may(engine: Engine, table: str) -> set[str]:
    every = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER")
    query = text("SELECT has_table_privilege(:table, :right)")
    with engine.connect() as connection:
        rights = {r for r in every if connection.scalar(query, {"table": table, "right": r})}
    engine.dispose()
    return rights


@pytest.mark.parametrize("login", [SERVICES, OTHER], ids=lambda login: login.role)
def test_the_role_of_the_services_is_created_as_their_url_names_it(
    creator: RolesSite, login: Login
) -> None:
    result = creator.migrate(login)

    assert result.left == ()
    assert any(f"the role {login.role}" in says for says in result.done)
    assert may(creator.engine(login), "payments") == {"SELECT", "INSERT", "UPDATE", "DELETE"}
    for table in APPEND_ONLY:
        assert may(creator.engine(login), table) == {"SELECT", "INSERT"}
    assert creator.migrate(login) == RolesSetUp(done=(), left=())


def test_one_role_for_everything_leaves_roles_for_later(creator: RolesSite) -> None:
    result = creator.migrate_by(creator.owner_url)

    assert result == RolesSetUp(
        done=("created the role paidup_app", "created the role paidup_reader"), left=()
    )
    assert "set the password of the role paidup_app" in creator.migrate(SERVICES).done[0]
    assert may(creator.engine(SERVICES), "audit_logs") == {"SELECT", "INSERT"}


def test_a_database_that_one_superuser_has_migrated_moves_to_two_roles(
    deployment: RolesSite,
) -> None:
    with deployment.admin as admin:
        admin.execute("ALTER ROLE the_owner SUPERUSER")
        admin.execute("CREATE ROLE paidup_reader")
    deployment.migrate_by(deployment.owner_url)
    with deployment.admin as admin:
        admin.execute("DROP OWNED BY paidup_app")
        admin.execute("DROP ROLE paidup_app")  # a release without roles migrated it

    assert deployment.migrate(SERVICES).left == ()
    assert may(deployment.engine(SERVICES), "audit_logs") == {"SELECT", "INSERT"}


def test_a_new_password_in_the_url_becomes_the_role_s(creator: RolesSite) -> None:
    creator.migrate(SERVICES)
    renewed = Login(role=SERVICES.role, password="another")

    assert "set the password" in creator.migrate(renewed).done[0]
    assert may(creator.engine(renewed), "audit_logs") == {"SELECT", "INSERT"}


def test_a_role_that_another_database_uses_keeps_its_password(
    creator: RolesSite, postgres_server: Postgres
) -> None:
    creator.migrate(SERVICES)
    neighbour = f"{creator.name}_neighbour"
    postgres_server.create_database(neighbour)
    with psycopg.connect(postgres_server.admin_url, dbname=neighbour, autocommit=True) as admin:
        admin.execute("CREATE TABLE theirs ()")
        admin.execute("GRANT SELECT ON theirs TO paidup_app")
    before = creator.password_of(SERVICES.role)

    result = creator.migrate(Login(role=SERVICES.role, password="another"))

    postgres_server.drop_database(neighbour)
    assert "another database of this server uses the role" in result.left[0]
    assert result.left[0].startswith("ALTER ROLE paidup_app LOGIN;  -- ")
    assert (result.done, creator.password_of(SERVICES.role)) == ((), before)


@pytest.mark.parametrize("kind", ["LOGIN", "SUPERUSER LOGIN", "NOLOGIN"])
def test_a_role_that_existed_under_another_name_keeps_its_password(
    creator: RolesSite, kind: str
) -> None:
    with creator.admin as admin:
        admin.execute("ALTER ROLE the_owner SUPERUSER")
        admin.execute(f"""CREATE ROLE "Billing services" {kind} PASSWORD 'theirs'""".encode())
    before = creator.password_of(OTHER.role)

    result = creator.migrate(OTHER)

    assert result.left[0].startswith('ALTER ROLE "Billing services" LOGIN;  -- ')
    assert creator.password_of(OTHER.role) == before


def test_a_refusal_that_is_not_of_the_password_changes_none(creator: RolesSite) -> None:
    creator.migrate(SERVICES)
    before = creator.password_of(SERVICES.role)
    with creator.admin as admin:
        admin.execute("ALTER ROLE paidup_app CONNECTION LIMIT 0")

    result = creator.migrate(SERVICES)

    assert "too many connections for role" in result.left[0]
    assert (result.done, creator.password_of(SERVICES.role)) == ((), before)


def test_what_the_server_refuses_at_commit_is_left_and_the_rest_is_done(
    creator: RolesSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_services_role(monkeypatch, creator.server.admin_url)

    result = creator.migrate(SERVICES)

    assert result.done == ("created the role paidup_reader",)
    (left,) = result.left
    assert left.startswith("CREATE ROLE paidup_app LOGIN;  -- ")
    assert left.endswith("  -- the server says: only plaintext passwords")
    with creator.admin as admin:
        query = "SELECT has_table_privilege('paidup_reader', 'user_entitlements', 'SELECT')"
        assert admin.execute(query).fetchone() == (True,)


def test_a_name_on_another_way_to_the_server_makes_no_role(creator: RolesSite) -> None:
    elsewhere = creator.url_of(OTHER).replace("//127.0.0.1:", "//localhost:")

    result = creator.migrate_by(elsewhere)

    assert "created the role paidup_app" in result.done
    assert creator.password_of(OTHER.role) is None
    assert [left.startswith("-- by hand: ") for left in result.left] == [True]

    with creator.admin as admin:
        role, secret = sql.Identifier(OTHER.role), sql.Literal(PASSWORD)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, secret))
        admin.execute(sql.SQL("GRANT paidup_app TO {}").format(role))
    assert creator.migrate_by(elsewhere) == RolesSetUp(done=(), left=())


def test_no_name_makes_a_role_where_the_owner_has_another_name_than_its_role(
    creator: RolesSite,
) -> None:
    # A pooler's name for the owner, as `postgres.PROJECT` is; the server calls it `the_owner`.
    owner_url = creator.server.admin_url.rpartition("/")[0] + f"/{creator.name}"
    services_url = owner_url.replace("//postgres:", "//paidup_app.ref:")
    engine = engine_for(owner_url, application_name="test")

    @event.listens_for(engine, "connect")
    def become_the_owner(connection: DeadlineConnection, _: object) -> None:
        connection.execute("SET SESSION AUTHORIZATION the_owner")
        connection.commit()

    schema.upgrade(engine)
    result = roles.set_up_roles(engine, services_url, owner_url)
    alone = roles.set_up_roles(engine, owner_url, owner_url)
    engine.dispose()

    assert services_url != owner_url
    assert alone == RolesSetUp(done=(), left=())
    assert creator.password_of("paidup_app.ref") is None
    assert "another name than paidup_app.ref" in result.left[0]


@pytest.mark.parametrize("login", [SERVICES, OTHER], ids=lambda login: login.role)
def test_where_we_may_not_an_administrator_runs_what_is_shown(
    deployment: RolesSite, login: Login
) -> None:
    left = deployment.migrate(login).left

    assert PASSWORD not in str(left)
    with deployment.admin as admin:
        for statement in left:
            admin.execute(statement.encode())
        name, secret = sql.Identifier(login.role), sql.Literal(PASSWORD)
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, secret))
    assert deployment.migrate(login) == RolesSetUp(done=(), left=())
    assert may(deployment.engine(login), "audit_logs") == {"SELECT", "INSERT"}


def test_one_role_works_where_no_other_can_be_created(deployment: RolesSite) -> None:
    result = deployment.migrate_by(deployment.owner_url)

    assert result.left == ("CREATE ROLE paidup_app;", "CREATE ROLE paidup_reader;")
    engine = engine_for(deployment.owner_url, application_name="test")
    assert schema.problem(engine) is None
    engine.dispose()


def test_only_a_hash_of_the_password_reaches_the_server(
    creator: RolesSite, postgres_server: Postgres
) -> None:
    with creator.admin as admin:
        admin.execute(f"ALTER DATABASE {creator.name} SET log_statement = 'all'")

    creator.migrate(Login(role=SERVICES.role, password="seen-in-no-log"))

    log = postgres_server.log.read_text(errors="replace")
    assert "CREATE ROLE" in log
    assert "seen-in-no-log" not in log


def test_a_database_and_a_schema_that_are_closed_are_opened_for_the_roles(
    creator: RolesSite,
) -> None:
    with creator.admin as admin:
        admin.execute(f"REVOKE ALL ON DATABASE {creator.name} FROM PUBLIC")
        admin.execute("ALTER SCHEMA public OWNER TO postgres")
        admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        admin.execute("GRANT ALL ON SCHEMA public TO the_owner")

    left = creator.migrate(SERVICES).left

    # The database is the owner's, the schema is not.
    assert left == (
        "GRANT USAGE ON SCHEMA public TO paidup_app;",
        "GRANT USAGE ON SCHEMA public TO paidup_reader;",
    )
    with creator.admin as admin:
        for statement in left:
            admin.execute(statement.encode())
    assert creator.migrate(SERVICES) == RolesSetUp(done=(), left=())
    assert may(creator.engine(SERVICES), "audit_logs") == {"SELECT", "INSERT"}


def test_a_password_shows_in_no_traceback() -> None:
    assert PASSWORD not in repr(SERVICES)


@pytest.mark.parametrize(
    ("url", "role"),
    [
        ("postgresql://ada:secret@host/db", "ada"),
        ("postgres://host/db?user=ada", "ada"),
        ("postgresql+psycopg://a%20b@host/db", "a b"),
    ],
)
def test_the_role_is_that_of_the_url(url: str, role: str) -> None:
    assert login_of(url).role == role


def test_a_url_without_a_role_takes_that_of_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", "grace")

    login = login_of("postgresql://host/db")

    assert (login.role, login.password) == ("grace", None)
