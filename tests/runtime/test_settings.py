"""Settings are checked as a whole, and every message names its variable and its bound."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from runtime.settings import VARIABLES, Address, Settings, SettingsError, required


def problems_of(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(environ)
    return refused.value.problems


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.from_env({})

    assert settings.ingest_bind == Address("127.0.0.1", 8000)
    assert settings.worker_metrics_bind == Address("127.0.0.1", 9101)
    assert settings.signature_tolerance_seconds == 300
    assert settings.max_body_bytes == 1_048_576
    assert settings.ingest_processes == 2
    assert 1 <= settings.worker_processes <= 4
    assert settings.livemode == "any"
    assert settings.plans_path == Path("plans.toml")
    assert settings.webhook_secrets == ()


def test_every_problem_is_named_at_once_with_its_variable_and_bound() -> None:
    problems = problems_of(
        {
            "PAIDUP_MAX_BODY_BYTES": "12",
            "PAIDUP_INGEST_PROCESSES": "many",
            "PAIDUP_LIVEMODE": "production",
            "PAIDUP_INGEST_BIND": "8000",
            "DATABASE_URL": "mysql://secret@host/db",
        }
    )

    assert [problem.split(":")[0] for problem in problems] == [
        "DATABASE_URL",
        "PAIDUP_LIVEMODE",
        "PAIDUP_MAX_BODY_BYTES",
        "PAIDUP_INGEST_BIND",
        "PAIDUP_INGEST_PROCESSES",
    ]
    assert "from 1024 to 16777216" in problems[2]
    assert "secret" not in problems[0]


def test_secrets_may_be_several_and_are_never_shown() -> None:
    settings = Settings.from_env({"STRIPE_WEBHOOK_SECRET": "whsec_new, whsec_old,"})

    assert settings.webhook_secrets == ("whsec_new", "whsec_old")
    assert "whsec" not in repr(settings)


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_mounted\n")

    settings = Settings.from_env({"STRIPE_WEBHOOK_SECRET_FILE": str(secret)})

    assert settings.webhook_secrets == ("whsec_mounted",)


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (problem,) = problems_of({"DATABASE_URL_FILE": str(tmp_path / "absent")})

    assert problem.startswith("DATABASE_URL: the file")


def test_a_variable_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://file/0")

    (problem,) = problems_of({"REDIS_URL": "redis://here/0", "REDIS_URL_FILE": str(file)})

    assert problem.startswith("REDIS_URL: set twice, also by REDIS_URL_FILE")


def test_the_broker_is_the_inbox_redis_unless_named() -> None:
    assert Settings.from_env({"REDIS_URL": "redis://a/0"}).broker_url == "redis://a/0"
    both = {"REDIS_URL": "redis://a/0", "CELERY_BROKER_URL": "redis://b/0"}
    assert Settings.from_env(both).broker_url == "redis://b/0"


@pytest.mark.parametrize("url", ["postgres://h/d", "postgresql://h/d", "postgresql:///d?host=/run"])
def test_any_usual_form_of_a_database_url_is_accepted_unchanged(url: str) -> None:
    assert Settings.from_env({"DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize("name", ["REDIS_URL", "CELERY_BROKER_URL"])
def test_sentinels_need_a_service_and_no_password_is_repeated(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: must name sentinels, a service") as refused:
        Settings.from_env({name: "redis+sentinel://:secret@one:26379"})

    assert "secret" not in str(refused.value)
    settings = Settings.from_env({name: "redis+sentinel://one,two/service/0"})
    assert settings.broker_url == "redis+sentinel://one,two/service/0"


@pytest.mark.parametrize(
    "url", ["postgresql://ann:se[cret@one:1,[::1]:2/d", "postgresql://one:1,[::1]:2/d"]
)
def test_a_url_that_names_several_servers_is_accepted_unchanged(url: str) -> None:
    assert Settings.from_env({"DATABASE_URL": url}).database_url == url


def test_an_empty_url_counts_as_not_set() -> None:
    assert Settings.from_env({"DATABASE_URL": " "}).database_url is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:8000", ("::1", 8000)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    address = Settings.from_env({"PAIDUP_INGEST_BIND": text}).ingest_bind

    assert address == Address(*expected)
    assert str(address) == text


@pytest.mark.parametrize("text", ["127.0.0.1", ":80", "host:99999", "host:x", ""])
def test_an_invalid_address_is_refused(text: str) -> None:
    (problem,) = problems_of({"PAIDUP_CONSOLE_BIND": text})

    assert "host:port" in problem


def test_trusted_proxies_are_networks() -> None:
    settings = Settings.from_env({"PAIDUP_TRUSTED_PROXIES": "10.0.0.0/8, ::1"})

    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert problems_of({"PAIDUP_TRUSTED_PROXIES": "proxy"})[0].startswith("PAIDUP_TRUSTED_PROXIES")


def test_only_account_ids_are_connect_accounts() -> None:
    settings = Settings.from_env({"PAIDUP_CONNECT_ACCOUNTS": "acct_1,acct_2"})

    assert settings.connect_accounts == {"acct_1", "acct_2"}
    assert "acct_1Abc" in problems_of({"PAIDUP_CONNECT_ACCOUNTS": "live"})[0]


@pytest.mark.parametrize(
    ("key", "livemode", "effective"),
    [
        (None, "any", "any"),
        ("sk_test_1", "any", "any"),
        ("sk_live_1", "any", "live"),
        ("rk_live_1", "any", "live"),
        ("rk_live_1", "test", "test"),
    ],
)
def test_a_live_key_turns_any_into_live(key: str | None, livemode: str, effective: str) -> None:
    environ = {"PAIDUP_LIVEMODE": livemode} | ({"STRIPE_API_KEY": key} if key else {})

    assert Settings.from_env(environ).effective_livemode() == effective


def test_an_empty_path_is_refused() -> None:
    assert problems_of({"PAIDUP_PLANS": " "})[0] == "PAIDUP_PLANS: must be a path; it is empty"


def test_a_required_setting_that_is_missing_names_its_variable() -> None:
    assert required("redis://here", "REDIS_URL") == "redis://here"
    with pytest.raises(SettingsError, match="REDIS_URL: must be set"):
        required(None, "REDIS_URL")


def test_every_attribute_of_settings_has_exactly_one_variable() -> None:
    attributes = [variable.attribute for variable in VARIABLES]

    assert sorted([*attributes, "doubts"]) == sorted(Settings.__dataclass_fields__)
    assert all(variable.help.endswith(".") for variable in VARIABLES)


@pytest.mark.parametrize(
    ("key", "live", "test"),
    [
        (None, False, False),
        ("sk_live_x", True, False),
        ("rk_test_x", False, True),
        ("sk_org_x", True, True),
    ],
)
def test_a_key_fetches_objects_of_its_own_mode(key: str | None, *, live: bool, test: bool) -> None:
    settings = Settings.from_env({"STRIPE_API_KEY": key} if key else {})

    assert (settings.may_fetch(livemode=True), settings.may_fetch(livemode=False)) == (live, test)


@pytest.mark.parametrize("zone", ["Mars", "", "../zone", "+02:00"])
def test_a_time_zone_has_a_name_that_is_known(zone: str) -> None:
    (problem,) = problems_of({"PAIDUP_TIME_ZONE": zone})

    assert problem.startswith("PAIDUP_TIME_ZONE: must be a time zone such as UTC or Europe/Berlin")


def test_times_of_grants_are_of_utc_unless_a_zone_is_named() -> None:
    assert Settings.from_env({}).time_zone.key == "UTC"
    assert Settings.from_env({"PAIDUP_TIME_ZONE": "Europe/Berlin"}).time_zone.key == "Europe/Berlin"
