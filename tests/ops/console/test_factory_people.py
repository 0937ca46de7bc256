"""People at real consoles: one login counts at all of them, and raw requests lead nowhere."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import create_engine, text

from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.schema import upgrade
from tests.ingest.ingest_process import TimedAnswer, wait_until
from tests.ops.console.access.people_client import OPERATOR, SECRET, TOKENS, VIEWER
from tests.ops.console.console_process import ServedConsole, serving

pytestmark = pytest.mark.servers

SETTINGS = {"PAIDUP_CONSOLE_TOKENS": TOKENS, "PAIDUP_CONSOLE_SECRET": SECRET}


def post(served: ServedConsole, path: str, cookie: str = "", **fields: str) -> TimedAnswer:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"http://127.0.0.1:{served._port}",
        "Cookie": cookie,
    }
    return served._ask("POST", path, urlencode(fields).encode(), headers)


def get(served: ServedConsole, path: str, cookie: str = "", **headers: str) -> TimedAnswer:
    return served._ask("GET", path, None, {"Cookie": cookie, **headers})


def cookie_of(answer: TimedAnswer) -> str:
    (header,) = (value for name, value in answer.headers.items() if name.lower() == "set-cookie")
    return header.partition(";")[0]


def test_a_person_logs_in_at_one_console_and_is_known_at_another(
    database: str, tmp_path: Path
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with (
        serving(database, folders[0], **SETTINGS) as first,
        serving(database, folders[1], **SETTINGS) as second,
    ):
        login = post(first, "/login", token=OPERATOR)
        cookie = cookie_of(login)
        assert login.status == 303
        # Who is logged in needs no form.
        assert get(second, "/login", cookie).status == 303
        assert get(second, "/login").status == 200

        assert post(second, "/logout", cookie).status == 303

        assert get(first, "/login", cookie).status == 200


def test_a_real_server_hands_tricks_over_and_they_lead_nowhere(
    database: str, tmp_path: Path
) -> None:
    with serving(database, tmp_path, **SETTINGS) as served:
        cookie = cookie_of(post(served, "/login", token=VIEWER))
        for path in ("//evil.example", "/%5cevil.example", "/%2f../x", "/login/..//evil.example"):
            answer = get(served, path, cookie)
            assert answer.status in {400, 404}, path
            assert "location" not in {name.lower() for name in answer.headers}

        stranger = get(served, "/login", cookie, **{"X-Forwarded-For": "1.2.3.4"})
        rebound = get(served, "/login", cookie, Host="evil.example")
        blown_up = get(served, "/login", f"paidup_session={'x' * 30_000}")
    assert (stranger.status, rebound.status, blown_up.status) == (403, 403, 200)


def test_plans_which_take_long_to_make_use_connections_of_their_own(
    database: str, tmp_path: Path
) -> None:
    form = {"action": "replay", "which": "all", "reason": "tests", "idempotency_key": "1"}
    with serving(database, tmp_path, **SETTINGS) as served:
        cookie = cookie_of(post(served, "/login", token=OPERATOR))

        assert post(served, "/dead-letters/list", cookie, **form).status == 422

        engine = create_engine(database)
        with engine.connect() as connection:
            names = {*connection.scalars(text("SELECT application_name FROM pg_stat_activity"))}
        engine.dispose()
    assert {"paidup console people", "paidup console plans"} <= names


def test_a_person_cannot_fill_the_disk_with_a_form(database: str, tmp_path: Path) -> None:
    with serving(database, tmp_path, **SETTINGS) as served:
        cookie = cookie_of(post(served, "/login", token=VIEWER))
        file = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n%s\r\n--x--'
        headers = {
            "Content-Type": "multipart/form-data; boundary=x",
            "Origin": f"http://127.0.0.1:{served._port}",
            "Cookie": cookie,
        }

        answers = [
            served._ask("POST", "/events/evt_1", file % (b"x" * size), headers)
            for size in (1024, 2 * 1024 * 1024)
        ]
    assert [each.status for each in answers] == [404, 413]


def test_while_the_database_is_frozen_pages_and_logins_are_refused_in_time(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    engine = engine_for(own_postgres.url, application_name="tests")
    upgrade(engine)
    engine.dispose()
    with serving(own_postgres.url, tmp_path, **SETTINGS) as served:
        cookie = cookie_of(post(served, "/login", token=OPERATOR))
        asked = [
            lambda: get(served, "/", cookie),
            lambda: get(served, "/events", cookie),
            lambda: post(served, "/jobs/1", cookie, do="cancel", idempotency_key="1"),
            lambda: post(served, "/login", token=OPERATOR),
        ]
        own_postgres.freeze()
        try:
            with ThreadPoolExecutor(40) as pool:
                answers = list(pool.map(lambda ask: ask(), asked * 10))
        finally:
            own_postgres.thaw()

        assert {answer.status for answer in answers} <= {429, 503}
        assert 503 in {answer.status for answer in answers[3::4]}
        wait_until(lambda: get(served, "/events", cookie).status == 200)
