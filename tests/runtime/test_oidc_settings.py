"""The settings of OpenID Connect, and what is said about those that cannot be used."""

import pytest

from runtime.oidc_settings import RoleRule, read_role_rules
from runtime.settings import SettingsError
from tests.fakes import settings

WHOLE = {
    "PAIDUP_CONSOLE_URL": "https://ops.example.com",
    "PAIDUP_OIDC_ISSUER": "https://login.example.com/realms/staff",
    "PAIDUP_OIDC_CLIENT_ID": "paidup",
    "PAIDUP_OIDC_ROLES": "groups:billing-ops=operator",
}


def test_rules_name_a_claim_a_value_and_a_role() -> None:
    assert read_role_rules("groups:a=b:c=operator, roles:Support Team=viewer,") == (
        RoleRule(claim="groups", value="a=b:c", role="operator"),
        RoleRule(claim="roles", value="Support Team", role="viewer"),
    )


@pytest.mark.parametrize(
    "rules", ["groups=operator", "groups:a", "groups:a=reader", "groups:=viewer", ":a=viewer", "a"]
)
def test_a_rule_of_another_form_is_refused(rules: str) -> None:
    with pytest.raises(SettingsError, match="PAIDUP_OIDC_ROLES: must be claim:value="):
        settings(**{**WHOLE, "PAIDUP_OIDC_ROLES": rules})


def test_a_value_has_one_role() -> None:
    with pytest.raises(SettingsError, match="must give each value of a claim one role"):
        settings(**{**WHOLE, "PAIDUP_OIDC_ROLES": "groups:a=viewer,groups:a=operator"})


@pytest.mark.parametrize(
    "issuer",
    ["login.example.com", "http://login.example.com", "https://", "https://a.example?b", "ftp://a"],
)
def test_an_issuer_must_be_reached_safely(issuer: str) -> None:
    with pytest.raises(SettingsError, match="PAIDUP_OIDC_ISSUER: must be an https URL"):
        settings(**{**WHOLE, "PAIDUP_OIDC_ISSUER": issuer})


@pytest.mark.parametrize(
    "missing", ["PAIDUP_CONSOLE_URL", "PAIDUP_OIDC_CLIENT_ID", "PAIDUP_OIDC_ROLES"]
)
def test_an_issuer_alone_is_not_enough(missing: str) -> None:
    given = {name: value for name, value in WHOLE.items() if name != missing}

    with pytest.raises(SettingsError, match=f"{missing}: must be set, too"):
        settings(**given)
