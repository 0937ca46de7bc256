import os
import signal
from pathlib import Path

import psycopg
import pytest

from ops.up.servers import ports
from ops.up.servers.errors import FolderClosed, FolderUnusable, ServerDidNotStart
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.process_table import children_of, command_of

pytestmark = pytest.mark.servers


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, connect_timeout=3) as connection:
        row = connection.execute(question).fetchone()
        assert row
        return row[0]


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_it_is_as_durable_as_production_must_be(postgres_server: Postgres, setting: str) -> None:
    assert ask(postgres_server.url, f"show {setting}") == "on"


def test_the_application_is_no_superuser(postgres_server: Postgres) -> None:
    assert ask(postgres_server.url, "show is_superuser") == "off"


def test_a_wrong_password_is_refused(postgres_server: Postgres) -> None:
    url = f"postgresql://paidup:guess@127.0.0.1:{postgres_server.port}/paidup"

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_a_database_is_a_copy_of_its_template_and_can_be_dropped(
    postgres_server: Postgres,
) -> None:
    original = postgres_server.create_database("original")
    with psycopg.connect(original) as connection:
        connection.execute("create table given (a int)")

    copy = postgres_server.create_database("copy", template="original")

    assert ask(copy, "select count(*) from given") == 0
    postgres_server.drop_database("copy")
    postgres_server.drop_database("original")


def test_what_was_committed_survives_a_kill_and_the_url_stays(own_postgres: Postgres) -> None:
    url = own_postgres.url
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 7 as number")

    own_postgres.kill()
    own_postgres.start()

    assert url == own_postgres.url
    assert ask(url, "select number from kept") == 7


def test_a_frozen_server_answers_nothing_until_it_is_thawed(own_postgres: Postgres) -> None:
    own_postgres.freeze()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgres.url, connect_timeout=2)

    own_postgres.thaw()

    assert ask(own_postgres.url, "select 1") == 1


def test_a_stop_ends_open_sessions_and_every_backend(own_postgres: Postgres) -> None:
    with psycopg.connect(own_postgres.url):
        own_postgres.stop()

    assert own_postgres.exit_code == 0


def test_a_lock_file_with_a_strangers_number_does_not_keep_it_from_starting(
    own_postgres: Postgres,
) -> None:
    own_postgres.kill()
    lock = own_postgres.folder / "data" / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    own_postgres.start()

    assert ask(own_postgres.url, "select 1") == 1


def test_data_of_another_major_version_is_refused_with_a_sentence(own_postgres: Postgres) -> None:
    own_postgres.stop()
    (own_postgres.folder / "data" / "PG_VERSION").write_text("11\n")

    with pytest.raises(FolderUnusable, match=r"PostgreSQL 11 wrote .*, and this is PostgreSQL 16"):
        own_postgres.start()


def test_a_given_port_that_is_taken_is_named(
    postgres_server: Postgres, servers_folder: Path
) -> None:
    folder = servers_folder / "taken"
    folder.mkdir()
    folder.chmod(0o711)
    second = Postgres(
        folder / "cluster", binaries=postgres_server.binaries, port=postgres_server.port
    )

    with pytest.raises(ServerDidNotStart, match=r"could not|in use"):
        second.start()


def test_a_free_port_that_was_taken_meanwhile_is_changed(
    postgres_server: Postgres, servers_folder: Path
) -> None:
    folder = servers_folder / "moved"
    folder.mkdir()
    folder.chmod(0o711)
    second = Postgres(folder / "cluster", binaries=postgres_server.binaries)
    second.port = postgres_server.port

    second.start()

    assert second.port != postgres_server.port
    second.stop()
    assert ports.is_free(second.port)


def test_no_session_of_a_killed_server_goes_on_even_if_it_was_frozen(
    own_postgres: Postgres,
) -> None:
    with psycopg.connect(own_postgres.url):
        processes = [own_postgres.pid, *children_of(own_postgres.pid)]
        own_postgres.freeze()
        own_postgres.kill()

    assert len(processes) > 2
    assert [command_of(pid) for pid in processes] == [""] * len(processes)


def test_a_killed_postmaster_is_seen_as_killed(own_postgres: Postgres) -> None:
    own_postgres.kill()

    assert own_postgres.exit_code == -signal.SIGKILL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_a_folder_out_of_reach_of_the_account_is_named(
    postgres_server: Postgres, servers_folder: Path
) -> None:
    closed = servers_folder / "closed"
    closed.mkdir(mode=0o700)
    closed.chmod(0o700)
    server = Postgres(closed / "cluster", binaries=postgres_server.binaries)

    with pytest.raises(FolderClosed, match=f"cannot enter {closed}: set PAIDUP_DATA_DIR"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_it_does_not_run_as_root(postgres_server: Postgres) -> None:
    assert Path(f"/proc/{postgres_server.pid}").stat().st_uid != 0


def test_a_cluster_whose_initdb_was_killed_is_made_again(
    postgres_server: Postgres, servers_folder: Path
) -> None:
    folder = servers_folder / "cut"
    folder.mkdir()
    folder.chmod(0o711)
    server = Postgres(folder / "cluster", binaries=postgres_server.binaries)
    _ = server.url
    (folder / "cluster" / "data.new").mkdir()
    (folder / "cluster" / "data.new" / "PG_VERSION").write_text("16\n")

    server.start()

    assert ask(server.url, "select 1") == 1
    server.stop()
