import pytest

from ops.doctor.findings import State
from ops.doctor.stripe.check_key import check_key, check_read_requests
from runtime.settings import Settings


@pytest.mark.parametrize(
    ("environ", "state", "says"),
    [
        ({"STRIPE_API_KEY": "rk_live_5f3a"}, State.OK, "restricted key of live mode"),
        ({"STRIPE_API_KEY": "sk_test_5f3a"}, State.WARNING, "rk_test_..."),
        ({"STRIPE_API_KEY": "pk_live_5f3a"}, State.PROBLEM, "is no secret or restricted key"),
        (
            {"STRIPE_API_KEY": "rk_test_5f3a", "PAIDUP_LIVEMODE": "live"},
            State.PROBLEM,
            "set a live key",
        ),
        ({"STRIPE_API_KEY": "sk_org_5f3a"}, State.PROBLEM, "PAIDUP_CONNECT_ACCOUNTS"),
        (
            {"STRIPE_API_KEY": "sk_org_5f3a", "PAIDUP_CONNECT_ACCOUNTS": "acct_1"},
            State.OK,
            "Stripe-Context: acct_1",
        ),
    ],
)
def test_the_form_of_the_key_says_what_it_is(
    environ: dict[str, str], state: State, says: str
) -> None:
    (finding,) = check_key(Settings.from_env(environ))

    assert (finding.state, says in finding.says) == (state, True)
    assert "5f3a" not in finding.says


def test_read_requests_are_compared_with_the_smallest_allocation() -> None:
    assert check_read_requests(2400, 10_000).state is State.OK
    assert check_read_requests(10_001, 10_000).state is State.WARNING
