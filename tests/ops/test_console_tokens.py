import hashlib
import hmac
from collections.abc import Iterable

import pytest

from ops import console_tokens as tokens
from ops.console_tokens import (
    Role,
    Token,
    digest_of,
    find_token,
    generate_token,
    plain_token,
    read_tokens,
)
from runtime.settings import SettingsError

HASHED = "billing-app:" + hashlib.sha256(b"secret-of-the-app").hexdigest()
DIGEST = HASHED.partition(":")[2]


def name_of(tokens: Iterable[Token], presented: str) -> str | None:
    found = find_token(tokens, presented)
    return found.name if found else None


def test_a_hashed_entry_admits_the_holder_of_the_token() -> None:
    (token,) = read_tokens([HASHED])

    assert (token.name, token.plain) == ("billing-app", False)
    assert name_of([token], "secret-of-the-app") == "billing-app"


def test_the_entry_itself_is_no_token() -> None:
    found = read_tokens([HASHED])

    assert name_of(found, HASHED) is None
    assert name_of(found, HASHED.partition(":")[2]) is None


def test_plain_tokens_work_and_are_named_by_their_place() -> None:
    found = read_tokens([HASHED, "sometoken", "with:colon"])

    assert [(token.name, token.plain) for token in found[1:]] == [
        ("token-2", True),
        ("token-3", True),
    ]
    assert name_of(found, "sometoken") == "token-2"
    assert name_of(found, "with:colon") == "token-3"


def test_the_hash_may_be_written_in_capitals() -> None:
    name, _, digest = HASHED.partition(":")

    assert name_of(read_tokens([f"{name}:{digest.upper()}"]), "secret-of-the-app") == name


@pytest.mark.parametrize(
    "presented", ["", "Sometoken", "sometoken ", "s\u00e9", "\ud800", "x" * 9999]
)
def test_an_unknown_token_has_no_name(presented: str) -> None:
    assert name_of(read_tokens(["sometoken", HASHED]), presented) is None


def test_without_tokens_every_request_is_unauthorized() -> None:
    assert name_of(read_tokens([]), "") is None


def test_one_name_may_have_two_tokens_while_one_is_being_rolled() -> None:
    old, new = generate_token("app"), generate_token("app")

    found = read_tokens([old.entry, new.entry])

    assert name_of(found, old.token) == name_of(found, new.token) == "app"


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
        (f"app:reader:{DIGEST[:-1]}", "hash of entry 2"),
        (f"app:admin:{DIGEST[:-1]}", "hash of entry 2"),
        ("app:operator:a-plain-token", "hash of entry 2"),
        ("app:operator:", "hash of entry 2"),
        (f"app:admin:{DIGEST}", "role of entry 2 must be reader, viewer or operator"),
        (f"app:Operator:{DIGEST}", "role of entry 2 must be reader, viewer or operator"),
        (f"app::{DIGEST}", "role of entry 2 must be reader, viewer or operator"),
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

    find_token(found, "first")

    assert compared == [token.digest for token in found]


def test_drawn_tokens_are_long_and_never_the_same() -> None:
    drawn = {generate_token("app").token for _ in range(100)}

    assert len(drawn) == 100
    assert min(map(len, drawn)) > 40


def test_the_plain_token_is_the_first_that_the_setting_gives_away() -> None:
    assert plain_token([HASHED, "one", "two"]) == "one"
    assert plain_token([HASHED]) is None


@pytest.mark.parametrize(
    ("entry", "role"),
    [
        (f"app:operator:{DIGEST}", Role.OPERATOR),
        (f"app:reader:{DIGEST}", Role.READER),
        (f"app:{DIGEST}", Role.READER),
        (f"operator:{DIGEST}", Role.READER),
        ("secret-of-the-app", Role.READER),
        ("with:operator", Role.READER),
    ],
)
def test_an_entry_without_a_role_is_a_readers(entry: str, role: Role) -> None:
    assert [token.role for token in read_tokens([entry])] == [role]


def test_an_operator_may_do_what_a_reader_may_and_never_the_other_way_round() -> None:
    assert Role.OPERATOR.may_act_as(Role.READER)
    assert Role.OPERATOR.may_act_as(Role.OPERATOR)
    assert Role.READER.may_act_as(Role.READER)
    assert not Role.READER.may_act_as(Role.OPERATOR)


def test_the_roles_of_one_name_are_those_of_its_tokens() -> None:
    reads, writes = generate_token("app"), generate_token("app", Role.OPERATOR)

    found = read_tokens([reads.entry, writes.entry])

    roles = [
        each and each.role
        for each in (find_token(found, reads.token), find_token(found, writes.token))
    ]
    assert roles == [Role.READER, Role.OPERATOR]


@pytest.mark.parametrize("other", ["secret-of-the-app", HASHED, f"two:reader:{DIGEST.upper()}"])
def test_one_token_cannot_have_two_roles(other: str) -> None:
    with pytest.raises(SettingsError, match="entry 2 gives another role to a token"):
        read_tokens([f"one:operator:{DIGEST}", other])

    assert digest_of("secret-of-the-app").hex() == DIGEST
