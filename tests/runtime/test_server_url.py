"""A URL that its driver would read in another way than it was meant is refused, unrepeated."""

import pytest

from runtime.server_url import check_url
from runtime.settings import Settings, SettingsError

SECOND = "a second `@`"
PORT = "a port that is no number"
PERCENT = "two hexadecimal digits"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://u:p%ss-hunter2@h/d", PERCENT),
        ("postgresql://u:p%00hunter2@h/d", PERCENT),
        ("postgresql://p%hunter2:p@h/d", PERCENT),
        ("postgresql://u:p hunter2@h/d", PERCENT),
        ("postgresql://h/d?password=p%hunter2", PERCENT),
        ("postgresql://h/d?password=a&hunter2", "a parameter without `=`"),
        ("postgresql://u:pa@hunter2@localhost", SECOND),
        ("postgresql://u:pa@hunter2@one:1,[::1]:2/d", SECOND),
        ("postgresql://u:pa/hunter2@h/d", SECOND),
        ("postgresql://u:12/hunter2@h/d", SECOND),
        ("postgresql://u:hunter2/d", PORT),
        ("postgresql://u:p@one:1,two:hunter2/d", PORT),
        ("postgresql://u:hunter2@[::1/d", PORT),
        ("redis://:pa/hunter2@h", SECOND),
        ("redis://:pa@hunter2@h", SECOND),
        ("redis://:12#hunter2@h", SECOND),
        ("redis://:hunter2#x", PORT),
        ("redis://:12?hunter2@h", "a parameter without `=`"),
        ("rediss://:p%hunter2@h", PERCENT),
        ("redis+sentinel://:pa@hunter2@one:1,two:2/service", SECOND),
        ("redis+sentinel://one/service?sentinel_password=p%hunter2", PERCENT),
    ],
)
def test_an_unescaped_password_is_refused_and_not_repeated(url: str, sentence: str) -> None:
    name = "DATABASE_URL" if url.startswith("postgresql") else "CELERY_BROKER_URL"
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({name: url})

    assert str(refused.value).startswith(f"{name}: has ")
    assert sentence in str(refused.value)
    assert "percent-encode user and password" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__context__ is None or "hunter2" not in str(refused.value.__context__)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%25ss%40%2F@h:5432/d?sslmode=require&options=-c%20a%3Db",
        "postgresql://u:p#?[:ss@one:1,[::1]:2,three/d",
        "postgresql://u@/d?host=/run/postgresql&application_name=a@b",
        "postgresql:///d?host=/run",
        "postgresql://:5432",
        "postgresql://%2Frun%2Fpostgresql/d",
        "redis://:p%23ss@[::1]:6379/0?ssl_cert_reqs=none",
        "redis://h",
        "unix://u:p@/run/redis.sock?db=1",
        "unix:///run/redis.sock?password=a@b",
        "redis+socket:///run/redis.sock?virtual_host=1",
        "redis+sentinel://u:p@one:1,[::1]:2,three/service/0?sentinel_password=x%2F",
        "https://api.example.com/v1",
    ],
)
def test_what_a_driver_reads_as_it_is_meant_is_accepted(url: str) -> None:
    check_url(url)
