from collections.abc import Iterable

import pytest

from ops.doctor.check_secrets import check_livemode, check_secrets
from ops.doctor.findings import Finding, State
from runtime.settings import Settings

GOOD = "whsec_" + "5f3a" * 8
KEY = "rk_live_" + "a1" * 12


def said(findings: Iterable[Finding], check: str) -> list[tuple[State, str]]:
    return [(finding.state, finding.says) for finding in findings if finding.check == check]


def about_secret(secret: str) -> list[tuple[State, str]]:
    settings = Settings.from_env({"STRIPE_WEBHOOK_SECRET": secret})
    return said(check_secrets(settings), "STRIPE_WEBHOOK_SECRET")


def test_a_secret_as_stripe_shows_it_is_fine() -> None:
    assert about_secret(GOOD) == [(State.OK, "set")]


def test_two_secrets_are_a_roll_over() -> None:
    assert about_secret(f"{GOOD},{GOOD}2") == [(State.OK, "2 secrets, for a roll-over")]


@pytest.mark.parametrize(
    ("secret", "word"),
    [
        ("", "is not set"),
        ("whsec_...", "placeholder"),
        ("whsec_xxxxxxxxxxxxxxxxxxxxxxxx", "placeholder"),
        ("<your webhook secret>".replace(" ", "-"), "placeholder"),
        ("changeme-changeme-changeme-changeme", "placeholder"),
        ("$STRIPE_WEBHOOK_SECRET_FROM_ENV", "placeholder"),
        ("whsec_short", "shorter than 24"),
    ],
)
def test_a_secret_that_cannot_be_stripes_is_a_problem(secret: str, word: str) -> None:
    ((state, says),) = about_secret(secret)

    assert state is State.PROBLEM
    assert word in says
    assert not secret or secret not in says


def test_the_bad_one_of_two_is_named_by_its_place() -> None:
    ((_, says),) = about_secret(f"{GOOD},whsec_short")

    assert says.startswith("secret 2 is shorter")


@pytest.mark.parametrize(
    ("secrets", "word"),
    [
        (f"{GOOD},{GOOD}", "twice"),
        (GOOD.removeprefix("whsec_"), "secret 1 does not start with whsec_"),
        (f"{GOOD}\n", "line break around it"),
    ],
)
def test_what_stripe_would_not_show_is_a_warning(secrets: str, word: str) -> None:
    ((state, says),) = about_secret(secrets)

    assert state is State.WARNING
    assert word in says
    assert GOOD.removeprefix("whsec_") not in says


@pytest.mark.parametrize(
    ("key", "state"),
    [("", State.WARNING), (KEY, State.OK), ("pk_live_x", State.PROBLEM), ("sk_...", State.PROBLEM)],
)
def test_the_api_key_is_the_net(key: str, state: State) -> None:
    settings = Settings.from_env({"STRIPE_API_KEY": key, "STRIPE_WEBHOOK_SECRET": GOOD})

    ((found, _),) = said(check_secrets(settings), "STRIPE_API_KEY")

    assert found is state


def test_a_console_token_that_can_be_guessed_is_a_problem() -> None:
    settings = Settings.from_env({"PAIDUP_CONSOLE_TOKENS": "0123456789abcdef0123,admin"})

    (state, says), (second_state, _) = said(check_secrets(settings), "PAIDUP_CONSOLE_TOKENS")

    assert state is State.PROBLEM
    assert says.startswith("token 2 ")
    assert second_state is State.WARNING


@pytest.mark.parametrize(
    ("tokens", "state", "word"),
    [
        ("", State.WARNING, "every read is refused"),
        ("0123456789abcdef0123", State.WARNING, "contains plain tokens"),
        (f"app:{'0f' * 32}", State.OK, "hashes only"),
        (f"app:{'0f' * 31}", State.PROBLEM, "does not start"),
    ],
)
def test_what_the_console_would_make_of_its_tokens_is_said(
    tokens: str, state: State, word: str
) -> None:
    settings = Settings.from_env({"PAIDUP_CONSOLE_TOKENS": tokens})

    ((found, says),) = said(check_secrets(settings), "PAIDUP_CONSOLE_TOKENS")

    assert found is state
    assert word in says


@pytest.mark.parametrize(
    ("environ", "state", "word"),
    [
        ({}, State.WARNING, "development only"),
        ({"PAIDUP_LIVEMODE": "live"}, State.OK, "live events are applied"),
        ({"PAIDUP_LIVEMODE": "test"}, State.OK, "test events are applied"),
        ({"STRIPE_API_KEY": KEY}, State.WARNING, "live one"),
    ],
)
def test_which_events_count_is_said(environ: dict[str, str], state: State, word: str) -> None:
    (finding,) = check_livemode(Settings.from_env(environ))

    assert finding.state is state
    assert word in finding.says


@pytest.mark.parametrize(
    ("key", "mode", "problem"),
    [
        ("sk_test_" + "a1" * 12, "live", True),
        (KEY, "test", True),
        (KEY, "live", False),
        ("sk_test_" + "a1" * 12, "any", False),
    ],
)
def test_a_key_of_the_mode_that_does_not_count_is_a_problem(
    key: str, mode: str, *, problem: bool
) -> None:
    environ = {"STRIPE_WEBHOOK_SECRET": GOOD, "STRIPE_API_KEY": key, "PAIDUP_LIVEMODE": mode}

    findings = said(check_secrets(Settings.from_env(environ)), "STRIPE_API_KEY")

    assert any("other mode" in says for _, says in findings) is problem
    assert not any(key in says for _, says in findings)
