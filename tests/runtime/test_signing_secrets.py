"""A secret that can match no delivery stops the start, and no sentence repeats it."""

from base64 import b64encode

import pytest

from runtime.settings import Settings, SettingsError
from runtime.signing_secrets import doubts, read_secrets, weak_secrets

KEY = "5f3a" * 8
GOOD = f"whsec_{KEY}"
OTHER = f"whsec_{'0b1c' * 16}"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("", ()),
        (GOOD, (GOOD,)),
        (f"{GOOD},{OTHER}", (GOOD, OTHER)),
        (f" {GOOD} , {OTHER},\n", (GOOD, OTHER)),
        (KEY, (KEY,)),
        ("signed-by-our-own-relay-9c41f0a2", ("signed-by-our-own-relay-9c41f0a2",)),
    ],
)
def test_secrets_are_separated_by_commas_and_kept_as_they_are(
    text: str, secrets: tuple[str, ...]
) -> None:
    assert read_secrets(text) == secrets


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f'"{GOOD}"', "is in quotes"),
        (f"'{GOOD}'", "is in quotes"),
        (f'"{GOOD},{OTHER}"', "is in quotes"),
        (f"{GOOD}'", "is in quotes"),
        (f"\N{LEFT DOUBLE QUOTATION MARK}{GOOD}\N{RIGHT DOUBLE QUOTATION MARK}", "curly quotes"),
        (f"{GOOD}\N{ZERO WIDTH SPACE}", "characters that Stripe never uses"),
        (b64encode(GOOD.encode()).decode(), "is base64"),
        (b64encode(f"{GOOD}\n".encode()).decode(), "is base64"),
        (f"STRIPE_WEBHOOK_SECRET={GOOD}", "variable's name"),
        (f"export STRIPE_WEBHOOK_SECRET={GOOD}", "variable's name"),
        (f"STRIPE_WEBHOOK_SECRET='{GOOD}", "variable's name"),
        (f"whsec: {GOOD}", "variable's name"),
        (f"{GOOD} {OTHER}", "white space or a line break inside"),
        (f"{GOOD}\n{OTHER}", "white space or a line break inside"),
        (f"> Ready! Your secret is {GOOD} (^C to quit)", "white space"),
        (f"{GOOD}{OTHER}", "two secrets without a comma"),
        (f"{GOOD};{OTHER}", "two secrets without a comma"),
        (f'{{"STRIPE_WEBHOOK_SECRET":"{GOOD}"}}', "has text before whsec_"),
        (f"{GOOD}\\n", r"two characters \n"),
        (f"sk_live_{KEY}", "is an API key"),
        (f"rk_test_{KEY}", "is an API key"),
        (f"we_{KEY}", "endpoint's id"),
        ("https://pay.example.com/webhooks/stripe", "is a URL"),
    ],
)
def test_a_form_that_matches_no_delivery_stops_the_start_and_is_named(text: str, form: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"STRIPE_WEBHOOK_SECRET": text})

    (problem,) = refused.value.problems
    assert problem.startswith("STRIPE_WEBHOOK_SECRET: secret 1 ")
    assert form in problem
    assert KEY not in problem


def test_each_bad_secret_of_a_list_is_named_by_its_place() -> None:
    with pytest.raises(ValueError, match=r"secret 2 is in quotes.*; secret 3 is an API key"):
        read_secrets(f"{GOOD},'{OTHER}',sk_live_{KEY}")


@pytest.mark.parametrize("text", ["", GOOD, f"{GOOD},{OTHER}", f"{GOOD}, {OTHER}"])
def test_secrets_as_stripe_shows_them_leave_no_doubt(text: str) -> None:
    assert doubts(text) == ()
    assert Settings.from_env({"STRIPE_WEBHOOK_SECRET": text}).doubts == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (KEY, "secret 1 does not start with whsec_"),
        (f"{GOOD},{OTHER.upper()}", "secret 2 does not start with whsec_"),
        (f"{GOOD}%", "secret 1 has characters that Stripe's secrets never have"),
        (f"{GOOD}\n", "has white space or a line break around it"),
        (f"{GOOD}\r", "has white space or a line break around it"),
        (f"{GOOD},{GOOD}", "lists the same secret twice"),
        ("whsec_...", "secret 1 is a placeholder"),
        ("whsec_x", "secret 1 is shorter than 24 characters"),
    ],
)
def test_what_another_program_may_sign_with_is_taken_with_a_word(text: str, says: str) -> None:
    (doubt,) = Settings.from_env({"STRIPE_WEBHOOK_SECRET": text}).doubts

    assert doubt.startswith(f"STRIPE_WEBHOOK_SECRET: {says}")
    assert KEY not in doubt


def test_only_a_secret_that_can_be_guessed_is_weak() -> None:
    assert weak_secrets((GOOD, KEY)) == ()
    assert len(weak_secrets(("whsec_x", "whsec_...", "change-me-change-me-change-me"))) == 3
