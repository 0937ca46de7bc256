"""The path of the endpoint is a plain path, which a slash at its end does not change."""

import pytest

from runtime.settings import Settings, SettingsError
from runtime.webhook_path import DEFAULT, spellings


def path_of(text: str) -> str:
    return Settings.from_env({"PAIDUP_WEBHOOK_PATH": text}).webhook_path


def test_the_path_is_that_of_the_documentation_unless_another_is_set() -> None:
    assert Settings.from_env({}).webhook_path == DEFAULT == "/webhooks/stripe"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/hooks", "/hooks"),
        ("/hooks/", "/hooks"),
        (" /api/v1/stripe-hook_~2.0// ", "/api/v1/stripe-hook_~2.0"),
        ("/", "/"),
    ],
)
def test_a_slash_at_the_end_makes_no_other_path(text: str, path: str) -> None:
    assert path_of(text) == path


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "hooks",
            "/a//b",
            "/a b",
            "/a?b=1",
            "/a#b",
            "/caf\u00e9",
            "/a%2fb",
            "/../a",
            "/a/./b",
        ),
        *("https://pay.example.com/hooks", "/" + "a" * 201, "/healthz", "/readyz/", "/metrics"),
    ],
)
def test_any_other_text_is_refused_and_the_sentence_names_the_variable(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^PAIDUP_WEBHOOK_PATH: must "):
        path_of(text)


@pytest.mark.parametrize(
    ("path", "both"), [("/hooks", {"/hooks", "/hooks/"}), ("/", {"/"}), ("/a/b", {"/a/b", "/a/b/"})]
)
def test_a_request_may_have_a_slash_at_the_end(path: str, both: set[str]) -> None:
    assert spellings(path) == both
