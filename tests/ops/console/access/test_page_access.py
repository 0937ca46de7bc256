"""A request reaches a page with a session, and is sent to log in without one."""

import pytest

from ops.console.access.page_access import quoted_page
from tests.ops.console.access.people_client import SAME, VIEWER, PeopleConsole

pytestmark = pytest.mark.servers


def test_a_viewer_reads_and_the_refusal_to_write_names_the_role_it_takes(
    here: PeopleConsole,
) -> None:
    browser = here.log_in(VIEWER)

    assert here.get(browser, "/sample").text == "read by sue"
    refused = here.post(browser, "/sample")
    assert refused.status_code == 403
    assert "This needs the role operator" in refused.text


def test_an_operator_writes_under_a_name_of_its_own(here: PeopleConsole) -> None:
    assert here.post(here.log_in(), "/sample").text == "written by console:ada"


@pytest.mark.parametrize("path", ["/sample", "/sample/a%2520b?c=%26", "/sample/%C3%A9"])
def test_without_a_session_the_way_leads_over_the_login_and_back(
    here: PeopleConsole, path: str
) -> None:
    browser = here.browser()
    away = here.get(browser, path)
    form = here.get(browser, away.location)
    assert away.status_code == 303

    here.log_in(browser=browser)
    back = here.get(browser, away.location)

    assert form.status_code == 200
    assert back.location == path


def test_a_form_without_a_session_does_not_come_back_as_a_page(here: PeopleConsole) -> None:
    assert here.post(here.browser(), "/sample").location == "/login"


def test_a_part_of_a_page_asks_the_browser_to_load_the_login_whole(
    prefixed: PeopleConsole,
) -> None:
    shown = "https://ops.example.com/paidup/sample/a?b=c"
    headers = {"HX-Request": "true", "HX-Current-URL": shown}

    response = prefixed.get(prefixed.browser(), "/sample/part", **headers)

    assert response.status_code == 401
    assert response.headers["HX-Redirect"] == "/paidup/login?next=/sample/a?b%3Dc"
    assert not response.data


@pytest.mark.parametrize(
    "shown", ["https://evil.example//evil.example", "", "javascript:a", "https://[", "//evil/.."]
)
def test_the_address_that_a_part_claims_leads_nowhere_else(here: PeopleConsole, shown: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": shown}

    assert here.get(here.browser(), "/sample", **headers).headers["HX-Redirect"] == "/login"


def test_a_path_is_quoted_as_the_browser_sent_it() -> None:
    assert quoted_page("/a b/é%", b"c=%26") == "/a%20b/%C3%A9%25?c=%26"


def test_every_page_warns_where_others_can_read_along(exposed: PeopleConsole) -> None:
    for page in (
        exposed.get(exposed.browser(), "/login"),
        exposed.post(exposed.log_in(VIEWER), "/sample", SAME),
    ):
        assert "served over plain http" in page.text
