import pytest

from runtime.sentinel_url import is_sentinel_url, read_sentinel_url


def test_all_parts_are_read() -> None:
    url = read_sentinel_url(
        "redis+sentinel://ann:p%40ss@one:1,two,[::1]:3/paid%20up/5"
        "?sentinel_username=watch&sentinel_password=w%2Fd"
    )

    assert url.sentinels == (("one", 1), ("two", 26379), ("::1", 3))
    assert (url.service, url.database, url.tls) == ("paid up", 5, False)
    assert (url.username, url.password) == ("ann", "p@ss")
    assert url.sentinel_options == {"username": "watch", "password": "w/d"}


def test_what_may_be_left_out_has_a_default() -> None:
    url = read_sentinel_url("rediss+sentinel://one/service")

    assert (url.sentinels, url.database, url.tls) == ((("one", 26379),), 0, True)
    assert (url.username, url.password, url.sentinel_options) == (None, None, {})


def test_no_password_is_shown() -> None:
    url = read_sentinel_url("redis+sentinel://:secret@one/service?sentinel_password=hidden")

    assert "secret" not in repr(url)
    assert "hidden" not in repr(url)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("redis+sentinel://one:26379", "a service"),
        ("redis+sentinel:///service", "must name sentinels"),
        ("redis+sentinel://one/service/x", "a database number"),
        ("redis+sentinel://one:port/service", "each sentinel as host:port"),
        ("redis+sentinel://one,,two/service", "each sentinel as host:port"),
        ("redis+sentinel://one/service?timeout=3", "timeout is unknown"),
    ],
)
def test_what_cannot_be_read_is_said_without_the_password(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        read_sentinel_url(text.replace("://", "://:secret@"))

    assert "secret" not in str(refused.value)


def test_kombu_gets_one_url_for_each_sentinel() -> None:
    url = read_sentinel_url("redis+sentinel://:p%40ss@one:1,[::1]:2/service/5")

    assert url.for_kombu() == "sentinel://:p%40ss@one:1/5;sentinel://:p%40ss@[::1]:2/5"
    assert read_sentinel_url("redis+sentinel://one/s").for_kombu() == "sentinel://one:26379/0"


@pytest.mark.parametrize(
    ("url", "is_one"),
    [("redis://h/0", False), ("redis+sentinel://h/s", True), ("rediss+sentinel://h/s", True)],
)
def test_only_its_own_schemes_name_sentinels(url: str, *, is_one: bool) -> None:
    assert is_sentinel_url(url) is is_one
