from collections.abc import Iterable

import pytest

from ops.doctor.check_secrets import check_livemode, check_secrets
from ops.doctor.findings import Finding, State
from ops.up.up_file import UpFile
from runtime.settings import Settings

GOOD = "whsec_" + "5f3a" * 8
MADE = "whsec_" + "0123456789abcdef" * 4
KEY = "rk_live_" + "a1" * 12


def up(*, made_secret: bool, fetches: bool = False) -> UpFile:
    """Return a stack of `paidup up` with the secret MADE."""
    return UpFile(
        pid=1,
        webhook_url="http://127.0.0.1:8000/webhooks/stripe",
        ingest_url="http://127.0.0.1:8000",
        worker_metrics_url="http://127.0.0.1:9101",
        console_url="http://127.0.0.1:8001",
        database_url="postgresql://127.0.0.1/paidup",
        owner_database_url="postgresql://127.0.0.1/paidup",
        reader_database_url=None,
        redis_url="redis://127.0.0.1",
        webhook_secret=MADE,
        made_secret=made_secret,
        fetches=fetches,
        console_token=None,
        settings={},
        pids={},
    )


def states(environ: dict[str, str], stack: UpFile) -> dict[str, State]:
    settings = Settings.from_env({"PAIDUP_CONSOLE_TOKENS": f"up:{'0f' * 32}", **environ})
    findings = [*check_secrets(settings, stack), *check_livemode(settings, stack)]
    return {finding.check: finding.state for finding in findings if finding.state is not State.OK}


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
        (f"app:{'0f' * 32},on-call:operator:{'f0' * 32}", State.OK, "only; may write: on-call"),
        (f"app:{'0f' * 31}", State.PROBLEM, "does not start"),
        (f"app:admin:{'0f' * 32}", State.PROBLEM, "must be reader, viewer or operator"),
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


def test_a_stack_that_stripe_cannot_sign_for_is_healthy_as_it_starts() -> None:
    assert states({"STRIPE_WEBHOOK_SECRET": MADE}, up(made_secret=True)) == {}


@pytest.mark.parametrize(
    ("secrets", "made"), [(MADE, False), (GOOD, True), (f"{MADE},{GOOD}", True)]
)
def test_a_stack_with_a_secret_of_the_operators_is_judged_as_in_production(
    secrets: str, *, made: bool
) -> None:
    assert states({"STRIPE_WEBHOOK_SECRET": secrets}, up(made_secret=made)) == {
        "STRIPE_API_KEY": State.WARNING,
        "PAIDUP_LIVEMODE": State.WARNING,
    }


def test_the_key_of_a_running_stack_counts_though_it_is_in_no_file() -> None:
    found = states({"STRIPE_WEBHOOK_SECRET": GOOD}, up(made_secret=False, fetches=True))

    assert found == {"PAIDUP_LIVEMODE": State.WARNING}


def test_a_plain_token_is_a_warning_on_any_stack() -> None:
    environ = {"STRIPE_WEBHOOK_SECRET": MADE, "PAIDUP_CONSOLE_TOKENS": "0123456789abcdef0123"}

    assert states(environ, up(made_secret=True)) == {"PAIDUP_CONSOLE_TOKENS": State.WARNING}
