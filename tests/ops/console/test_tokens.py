import hashlib
import hmac

import pytest

from ops.console import tokens
from ops.console.tokens import find_token_name, generate_token, plain_token, read_tokens
from runtime.settings import SettingsError

HASHED = "billing-app:" + hashlib.sha256(b"secret-of-the-app").hexdigest()


def test_a_hashed_entry_admits_the_holder_of_the_token() -> None:
    (token,) = read_tokens([HASHED])

    assert (token.name, token.plain) == ("billing-app", False)
    assert find_token_name([token], "secret-of-the-app") == "billing-app"


def test_the_entry_itself_is_no_token() -> None:
    found = read_tokens([HASHED])

    assert find_token_name(found, HASHED) is None
    assert find_token_name(found, HASHED.partition(":")[2]) is None


def test_plain_tokens_work_and_are_named_by_their_place() -> None:
    found = read_tokens([HASHED, "sometoken", "with:colon"])

    assert [(token.name, token.plain) for token in found[1:]] == [
        ("token-2", True),
        ("token-3", True),
    ]
    assert find_token_name(found, "sometoken") == "token-2"
    assert find_token_name(found, "with:colon") == "token-3"


def test_the_hash_may_be_written_in_capitals() -> None:
    name, _, digest = HASHED.partition(":")

    assert find_token_name(read_tokens([f"{name}:{digest.upper()}"]), "secret-of-the-app") == name


@pytest.mark.parametrize(
    "presented", ["", "Sometoken", "sometoken ", "s\u00e9", "\ud800", "x" * 9999]
)
def test_an_unknown_token_has_no_name(presented: str) -> None:
    assert find_token_name(read_tokens(["sometoken", HASHED]), presented) is None


def test_without_tokens_every_request_is_unauthorized() -> None:
    assert find_token_name(read_tokens([]), "") is None


def test_one_name_may_have_two_tokens_while_one_is_being_rolled() -> None:
    old, new = generate_token("app"), generate_token("app")

    found = read_tokens([old.entry, new.entry])

    assert find_token_name(found, old.token) == find_token_name(found, new.token) == "app"


def test_nothing_that_is_kept_shows_a_token() -> None:
    assert "sometoken" not in repr(read_tokens(["sometoken"]))
    assert generate_token("app").token not in repr(generate_token("app"))


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("two words", "entry 2 has characters"),
        ("t\u00f6ken", "entry 2 has characters"),
        (HASHED[:-1], "hash of entry 2"),
        (HASHED + "0", "hash of entry 2"),
    ],
)
def test_an_entry_that_no_request_could_match_is_named_and_not_shown(entry: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word) as refused:
        read_tokens(["sometoken", entry])

    assert entry not in str(refused.value)


def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(tokens, "compare_digest", compare)
    found = read_tokens(["first", "second", "third"])

    find_token_name(found, "first")

    assert compared == [token.digest for token in found]


def test_drawn_tokens_are_long_and_never_the_same() -> None:
    drawn = {generate_token("app").token for _ in range(100)}

    assert len(drawn) == 100
    assert min(map(len, drawn)) > 40


def test_the_plain_token_is_the_first_that_the_setting_gives_away() -> None:
    assert plain_token([HASHED, "one", "two"]) == "one"
    assert plain_token([HASHED]) is None
