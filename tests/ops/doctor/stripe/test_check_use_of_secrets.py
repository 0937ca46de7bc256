from datetime import timedelta

from ops.doctor.findings import State
from ops.doctor.stripe.check_use_of_secrets import check_use_of_secrets
from runtime.telemetry import secret_fingerprint
from tests.ops.doctor.stripe.fake_endpoints import NOW

NEW, OLD = "whsec_" + "5f3a" * 8, "whsec_" + "0b1c" * 8


def said(**ages: timedelta) -> list[tuple[State, str]]:
    secrets = {"new": NEW, "old": OLD}
    used = {secret_fingerprint(secrets[name]): NOW - age for name, age in ages.items()}
    findings = check_use_of_secrets([NEW, OLD], used, NOW)
    return [(each.state, each.says) for each in findings]


def test_each_secret_has_its_last_use_and_is_never_shown() -> None:
    found = said(new=timedelta(minutes=3), old=timedelta(days=2))

    assert [state for state, _ in found] == [State.OK, State.OK]
    assert f"fingerprint {secret_fingerprint(NEW)}" in found[0][1]
    assert "3 min ago" in found[0][1]
    assert not any("whsec" in says for _, says in found)


def test_one_that_another_replaced_is_to_be_removed() -> None:
    (used, _), (unused, says) = said(new=timedelta(minutes=3), old=timedelta(days=8))

    assert (used, unused) == (State.OK, State.WARNING)
    assert "remove it from STRIPE_WEBHOOK_SECRET" in says


def test_none_is_to_be_removed_while_nothing_comes() -> None:
    found = said(old=timedelta(days=8))

    assert [state for state, _ in found] == [State.WARNING, State.WARNING]
    assert all("nothing comes from Stripe" in says for _, says in found)
    assert "in the last 35 days" in found[0][1]
