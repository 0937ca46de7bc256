"""Keys differ by mode and account, and give back their parts."""

import pytest

from billing.ids import object_key, realm_in, realm_of, stripe_id_of, summary_key


@pytest.mark.parametrize(
    ("account", "livemode", "realm"),
    [
        (None, True, "live"),
        (None, False, "test"),
        ("acct_1", True, "live/acct_1"),
        ("acct_1", False, "test/acct_1"),
    ],
)
def test_every_mode_of_every_account_is_a_realm_of_its_own(
    account: str | None, *, livemode: bool, realm: str
) -> None:
    assert realm_of(account, livemode=livemode) == realm


@pytest.mark.parametrize("stripe_id", ["sub_1", "odd:id"])
def test_a_key_gives_back_its_realm_and_its_id(stripe_id: str) -> None:
    realm = realm_of("acct_1", livemode=True)
    key = object_key(realm, stripe_id)

    assert (realm_in(key), stripe_id_of(key)) == (realm, stripe_id)


def test_a_summary_is_no_customer() -> None:
    realm = realm_of(None, livemode=False)

    assert summary_key(realm, "cus_1") == "test:entitlements/cus_1"
    assert summary_key(realm, "cus_1") != object_key(realm, "cus_1")
