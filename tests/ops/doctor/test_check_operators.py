"""The check for a second person where bulk actions need one."""

import pytest

from ops.console_tokens import Role, hashed_entry
from ops.doctor.check_operators import check_operators
from runtime.settings import Settings

ADA = hashed_entry("ada", Role.OPERATOR, "pdt_a")
ALSO_ADA = hashed_entry("Ada", Role.OPERATOR, "pdt_c")
BOB = hashed_entry("bob", Role.OPERATOR, "pdt_b")
APPLICATION = hashed_entry("shop", Role.READER, "pdt_s")


def levels(tokens: tuple[str, ...], **environ: str) -> list[str]:
    settings = Settings.from_env({"PAIDUP_CONSOLE_TOKENS": ",".join(tokens), **environ})
    return [str(finding.state) for finding in check_operators(settings)]


def test_without_approvals_nothing_is_said() -> None:
    assert levels(()) == []


@pytest.mark.parametrize("tokens", [(), (ADA,), (ADA, APPLICATION), (ADA, ADA), (ADA, ALSO_ADA)])
def test_fewer_than_two_operators_are_a_warning(tokens: tuple[str, ...]) -> None:
    assert levels(tokens, PAIDUP_APPROVAL_ABOVE="100") == ["warning"]


@pytest.mark.parametrize(("role", "level"), [("operator", "ok"), ("viewer", "warning")])
def test_operators_of_a_provider_are_not_counted_here(role: str, level: str) -> None:
    provider = {
        "PAIDUP_CONSOLE_URL": "https://ops.example.com",
        "PAIDUP_OIDC_ISSUER": "https://login.example.com",
        "PAIDUP_OIDC_CLIENT_ID": "paidup",
        "PAIDUP_OIDC_ROLES": f"groups:billing={role}",
    }

    assert levels((), PAIDUP_APPROVAL_ABOVE="100", **provider) == [level]


def test_two_operators_are_enough() -> None:
    assert levels((ADA, BOB), PAIDUP_APPROVAL_ABOVE="100") == ["ok"]
