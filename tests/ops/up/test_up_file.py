import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.errors import NoServerConfigured
from ops.up import up_file
from ops.up.servers import pidfile
from ops.up.up_file import UpFile
from runtime.settings import Settings, SettingsError

UP = UpFile(
    pid=1,
    webhook_url="http://127.0.0.1:8000/webhooks/stripe",
    ingest_url="http://127.0.0.1:8000",
    worker_metrics_url="http://127.0.0.1:9101",
    console_url="http://127.0.0.1:8001",
    database_url="postgresql://paidup_app:pw@127.0.0.1:5432/paidup",
    owner_database_url="postgresql://paidup:pw@127.0.0.1:5432/paidup",
    reader_database_url="postgresql://paidup_reader:pw@127.0.0.1:5432/paidup",
    redis_url="redis://:pw@127.0.0.1:6379/0",
    webhook_secret="whsec_of_up",
    made_secret=True,
    fetches=False,
    console_token="pdt_of_up",
    settings={
        "STRIPE_WEBHOOK_SECRET": "whsec_of_up",
        "PAIDUP_WEBHOOK_PATH": "/webhooks/stripe",
        "PAIDUP_LIVEMODE": "test",
        "PAIDUP_CONSOLE_TOKENS": "up:hash",
        "PAIDUP_PLANS": "/plans/of/up.toml",
    },
    pids={"ingest": 2},
)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An environment whose data folder has a running `up`, in a folder without plans."""
    monkeypatch.chdir(tmp_path)
    lock = pidfile.claim(up_file.lock_in(tmp_path))
    up_file.write(tmp_path, UP)
    yield {"PAIDUP_DATA_DIR": str(tmp_path)}
    os.close(lock)


def test_it_is_read_as_it_was_written_and_by_its_owner_only(
    tmp_path: Path, running: dict[str, str]
) -> None:
    assert up_file.read(tmp_path) == UP
    assert stat.S_IMODE(up_file.path_in(tmp_path).stat().st_mode) == 0o600


def test_passwords_do_not_show_in_a_traceback() -> None:
    assert "pw" not in repr(UP)
    assert "whsec" not in repr(UP)
    assert "pdt_" not in repr(UP)


def test_what_a_killed_up_left_behind_does_not_count(tmp_path: Path) -> None:
    up_file.write(tmp_path, UP)

    assert up_file.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 1}', "{"])
def test_a_file_that_is_not_ours_does_not_count(
    tmp_path: Path, running: dict[str, str], content: str
) -> None:
    up_file.path_in(tmp_path).write_text(content)

    assert up_file.read(tmp_path) is None


def test_what_the_environment_does_not_say_is_taken_from_up(running: dict[str, str]) -> None:
    completed = up_file.completed(running)

    assert completed == {**running, **UP.as_environ()}


def test_plans_in_the_current_folder_come_before_those_of_up(running: dict[str, str]) -> None:
    assert up_file.completed(running)["PAIDUP_PLANS"] == "/plans/of/up.toml"

    Path("plans.toml").touch()

    assert "PAIDUP_PLANS" not in up_file.completed(running)


@pytest.mark.parametrize(
    ("made", "secrets", "only_ours"),
    [
        (True, ("whsec_of_up",), True),
        (False, ("whsec_of_up",), False),
        (True, ("whsec_mine",), False),
        (True, ("whsec_of_up", "whsec_mine"), False),
        (True, (), False),
    ],
)
def test_only_the_secret_that_up_made_keeps_stripe_out(
    secrets: tuple[str, ...], *, made: bool, only_ours: bool
) -> None:
    assert replace(UP, made_secret=made).takes_only_ours(secrets) is only_ours


def test_what_is_shared_reads_back_as_the_settings_of_the_services() -> None:
    ours = Settings.from_env(
        {
            "STRIPE_WEBHOOK_SECRET": f"whsec_{'1' * 32},whsec_{'2' * 32}",
            "STRIPE_API_KEY": f"sk_live_{'a1' * 12}",
            "PAIDUP_CONNECT_ACCOUNTS": "acct_2,acct_1",
            "PAIDUP_CONSOLE_TOKENS": f"app:{'0f' * 32},plain",
            "PAIDUP_TIME_ZONE": "Europe/Berlin",
            "PAIDUP_WEBHOOK_PATH": "/hooks",
            "PAIDUP_PLANS": "/my/plans.toml",
        }
    )

    read = Settings.from_env(up_file.shared_settings(ours))

    assert read == replace(ours, stripe_api_key=None, livemode="live")


def test_an_empty_variable_says_nothing(running: dict[str, str]) -> None:
    completed = up_file.completed({**running, "REDIS_URL": ""})

    assert completed["REDIS_URL"] == UP.redis_url


def test_what_the_environment_says_stays(running: dict[str, str]) -> None:
    completed = up_file.completed({**running, "STRIPE_WEBHOOK_SECRET": "whsec_mine"})

    assert completed["STRIPE_WEBHOOK_SECRET"] == "whsec_mine"
    assert completed["REDIS_URL"] == UP.redis_url


def test_the_servers_of_up_may_be_named_again(running: dict[str, str]) -> None:
    completed = up_file.completed({**running, "DATABASE_URL": UP.database_url})

    assert completed["REDIS_URL"] == UP.redis_url


def test_the_database_of_up_may_be_named_as_its_owner(running: dict[str, str]) -> None:
    completed = up_file.completed({**running, "DATABASE_URL": UP.owner_database_url})

    assert completed["DATABASE_URL"] == UP.owner_database_url
    assert completed["REDIS_URL"] == UP.redis_url


@pytest.mark.parametrize(
    "named",
    [
        {"DATABASE_URL": "postgresql://production/paidup"},
        {"REDIS_URL": "redis://production"},
        {"DATABASE_URL_FILE": "/run/secrets/database"},
        {"PAIDUP_OWNER_DATABASE_URL": "postgresql://production/paidup"},
        {"PAIDUP_OWNER_DATABASE_URL_FILE": "/run/secrets/owner"},
    ],
)
def test_half_of_another_deployment_is_never_mixed_with_half_of_up(
    running: dict[str, str], named: dict[str, str]
) -> None:
    assert up_file.completed({**running, **named}) == {**running, **named}


def test_a_needed_server_that_is_not_named_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        NoServerConfigured, match=f"REDIS_URL is not set, and no .* runs on {tmp_path}"
    ):
        up_file.settings({"PAIDUP_DATA_DIR": str(tmp_path)}, "REDIS_URL")


def test_needed_servers_come_from_up(running: dict[str, str]) -> None:
    settings = up_file.settings(running, "REDIS_URL", "DATABASE_URL")

    assert settings.redis_url == UP.redis_url
    assert settings.database_url == UP.database_url


def test_a_data_folder_that_cannot_be_is_named() -> None:
    with pytest.raises(SettingsError, match="PAIDUP_DATA_DIR"):
        up_file.data_dir_of({"PAIDUP_DATA_DIR": " "})
