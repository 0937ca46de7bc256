"""Each form of cross-site request that browsers can be made to send, and those of our pages."""

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from ops.console.access.people import PageRefused
from ops.console.access.same_origin import check_same_origin

OURS = "https://ops.example.com"


def is_refused(method: str = "POST", **headers: str) -> bool:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    builder = EnvironBuilder(path="/", method=method, headers=list(named.items()))
    try:
        check_same_origin(Request(builder.get_environ()), OURS)
    except PageRefused as refused:
        return refused.code == 403
    return False


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "same-origin", "Origin": OURS},
        {"Sec_Fetch_Site": "none"},
        {"Origin": OURS},
    ],
)
def test_a_form_of_ours_is_taken(headers: dict[str, str]) -> None:
    assert not is_refused(**headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Referer": f"{OURS}/"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": OURS},
        {"Sec_Fetch_Site": "same-site", "Origin": OURS},
        {"Sec_Fetch_Site": ""},
        {"Sec_Fetch_Site": "same-origin, cross-site"},
        {"Sec_Fetch_Site": "SAME-ORIGIN"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "null"},
        {"Sec_Fetch_Site": "none", "Origin": "null"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://ops.example.com"},
        {"Origin": f"{OURS}:444"},
        {"Origin": f"{OURS}.evil.example"},
        {"Origin": f"{OURS}/"},
        {"Origin": OURS.upper()},
        {"Origin": f"{OURS}, https://evil.example"},
    ],
)
def test_all_other_requests_that_may_change_something_are_refused(headers: dict[str, str]) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert is_refused(method, **headers)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_link_from_another_site_leads_here(method: str) -> None:
    assert not is_refused(method, Sec_Fetch_Site="cross-site", Origin="https://chat.example")
