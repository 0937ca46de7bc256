"""Guessing, leading astray and writing into headers by the login form."""

import pytest

from ops.console.access.login_limits import TRIES_OF_A_SOURCE
from tests.ops.console.access.people_client import OPERATOR, SAME, PeopleConsole

pytestmark = pytest.mark.servers


def test_guessing_is_slow_whatever_address_the_guesser_claims(public: PeopleConsole) -> None:
    for number in range(TRIES_OF_A_SOURCE):
        headers = {**SAME, "X-Forwarded-For": f"10.0.0.{number}"}
        guess = public.post(public.browser(), "/login", headers, token=f"guess-{number}")
        assert guess.status_code == 403

    last = public.post(public.browser(), "/login", {**SAME, "X-Forwarded-For": "::1"}, token="last")

    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) >= 1
    assert public.audited()[0].target_id == "127.0.0.1"
    assert len(public.audited()) <= 2 * 2


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/%2f/evil.example",
        "/..//evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: planted=1",
        "/%0d%0aSet-Cookie:%20planted=1",
        "/\tevil",
        "\x00",
    ],
)
def test_a_login_leads_to_no_other_site_and_writes_no_header(
    public: PeopleConsole, wanted: str
) -> None:
    browser = public.browser()
    shown = browser.get("/login", base_url="https://ops.example.com", query_string={"next": wanted})

    response = public.post(browser, "/login", token=OPERATOR, next=wanted)

    assert 'name="next" value="/"' in shown.text
    assert (response.status_code, response.location) == (303, "/")
    assert len(response.headers.getlist("Set-Cookie")) == 1
    assert "planted" not in str(response.headers)
    again = browser.get("/login", base_url="https://ops.example.com", query_string={"next": wanted})
    assert again.location == "/"


def test_what_a_stranger_writes_into_the_address_is_text_on_the_page(
    public: PeopleConsole,
) -> None:
    wanted = '/"><script>alert(1)</script>'
    page = public.browser().get(
        "/login", base_url="https://ops.example.com", query_string={"next": wanted}
    )

    assert "<script>" not in page.text


def test_a_token_in_the_address_logs_no_one_in(public: PeopleConsole) -> None:
    browser = public.browser()

    response = public.get(browser, f"/login?token={OPERATOR}")

    assert response.status_code == 200
    assert OPERATOR not in response.text
    assert public.sessions() == []


@pytest.mark.parametrize(
    "body",
    [
        b"token=" + b"x" * 20_000,
        b"&".join(b"a%d=b" % number for number in range(3000)),
        b"token=%ff%fe%00",
        b"token=" + b"%F0%9F%92%A9" * 10,
        b"\x00" * 100,
        b"next=/sample&next=//evil.example",
    ],
)
def test_no_body_breaks_the_form(public: PeopleConsole, body: bytes) -> None:
    response = public.browser().post(
        "/login",
        base_url="https://ops.example.com",
        data=body,
        headers=SAME,
        content_type="application/x-www-form-urlencoded",
    )

    assert response.status_code in {400, 403, 413, 422}
    assert public.sessions() == []


def test_the_form_can_be_sent_in_parts_and_is_still_bounded(public: PeopleConsole) -> None:
    parts = {f"part{number}": "x" for number in range(50)}

    response = public.browser().post(
        "/login",
        base_url="https://ops.example.com",
        data=parts,
        headers=SAME,
        content_type="multipart/form-data",
    )

    assert response.status_code in {400, 413}
