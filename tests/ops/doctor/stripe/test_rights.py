from ops.doctor.findings import State
from ops.doctor.stripe.rights import NEEDED, check_rights
from runtime.stripe_api.errors import ApiAway, ApiFailure, ApiForbidden

ANSWERED: dict[str, ApiFailure | None] = dict.fromkeys(NEEDED)


def test_a_key_that_may_read_everything_is_well() -> None:
    (finding,) = check_rights(ANSWERED)

    assert (finding.state, "all 15 lists" in finding.says) == (State.OK, True)


def test_a_missing_right_is_named_with_what_needs_it() -> None:
    refused = ApiForbidden("Having the 'rak_event_read' permission would allow this request")

    (finding,) = check_rights({**ANSWERED, "/v1/events": refused})

    assert finding.state is State.PROBLEM
    assert "Events: Read (event_read), which thin events, reconcile, doctor needs" in finding.says


def test_a_failure_of_stripe_is_no_missing_right() -> None:
    (finding,) = check_rights({**ANSWERED, "/v1/events": ApiAway("500: as asked")})

    assert finding.state is State.WARNING
    assert "/v1/events could not be tried: 500: as asked" in finding.says
