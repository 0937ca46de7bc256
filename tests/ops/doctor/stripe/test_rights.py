from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ops.doctor.findings import State
from ops.doctor.stripe.rights import NEEDED, check_rights, link_for_new_key
from runtime.stripe_api.errors import ApiAway, ApiFailure, ApiForbidden
from tests.stripe.keys import RIGHTS, ApiKey, refuse_without_right

ANSWERED: dict[str, ApiFailure | None] = dict.fromkeys(NEEDED)


def test_a_key_that_may_read_everything_is_well() -> None:
    (finding,) = check_rights(ANSWERED)

    assert (finding.state, "all 15 lists" in finding.says) == (State.OK, True)


def test_a_missing_right_is_named_with_what_needs_it() -> None:
    refused = ApiForbidden("Having the 'rak_event_read' permission would allow this request")

    finding, offer = check_rights({**ANSWERED, "/v1/events": refused})

    assert (finding.state, offer.state) == (State.PROBLEM, State.WARNING)
    assert offer.says.endswith(link_for_new_key())
    assert "Events: Read (event_read), which thin events, reconcile, doctor needs" in finding.says


def test_a_key_with_the_rights_of_the_link_may_ask_for_every_list() -> None:
    given = parse_qs(urlsplit(link_for_new_key()).query)["permissions[]"]
    key = ApiKey("rk_test_1", frozenset(each.removeprefix("rak_") for each in given))

    for path in (*NEEDED, *RIGHTS.keys() - {"/v1/account"}):
        refuse_without_right(key, "acct_1", "GET", path)
    refuse_without_right(key, "acct_1", "POST", "/v1/webhook_endpoints")


def test_the_page_about_adopting_has_the_link() -> None:
    page = Path(__file__).parents[4] / "docs" / "adopting.md"

    assert f"]({link_for_new_key()})" in page.read_text()


def test_a_failure_of_stripe_is_no_missing_right() -> None:
    (finding,) = check_rights({**ANSWERED, "/v1/events": ApiAway("500: as asked")})

    assert finding.state is State.WARNING
    assert "/v1/events could not be tried: 500: as asked" in finding.says
