"""Responses as applications get them, each validated against the OpenAPI document."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from ops.console.tokens import generate_token
from tests.ops.console.console_client import DOCUMENT, TOKEN, Console, FakeEntitlements, conforms

PATH = "/v1/users/{user_id}/entitlements"
AWAY = OperationalError("SELECT secret", {}, Exception("password is secret"))


@pytest.fixture
def console() -> Console:
    return Console()


def problem(response: TestResponse) -> tuple[int, str]:
    document = json.loads(response.data)
    assert conforms(response, PATH)
    assert document["status"] == response.status_code
    return response.status_code, document["type"].removeprefix("urn:paidup:problem:")


class TestAnswer:
    def test_the_document_is_handed_on_as_it_is(self, console: Console) -> None:
        response = console.read()

        assert conforms(response, PATH)
        assert response.get_json() == DOCUMENT
        assert response.mimetype == "application/json"
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert console.reads() == {"found": 1}

    def test_a_user_never_seen_is_a_problem_that_does_not_repeat_the_id(
        self, console: Console
    ) -> None:
        response = console.read("usr_nobody")

        assert problem(response) == (404, "user-unknown")
        assert b"usr_nobody" not in response.data
        assert console.reads() == {"unknown": 1}

    def test_head_has_the_headers_and_no_body(self, console: Console) -> None:
        response = console.client.head(
            "/v1/users/usr_1/entitlements", headers={"Authorization": f"Bearer {TOKEN}"}
        )

        assert response.status_code == 200
        assert response.headers["ETag"] == console.read().headers["ETag"]
        assert response.data == b""

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
    def test_nothing_can_be_changed(self, console: Console, method: str) -> None:
        response = console.client.open("/v1/users/usr_1/entitlements", method=method)

        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"


class TestEtag:
    def test_an_answer_that_still_holds_is_not_sent_again(self, console: Console) -> None:
        etag = console.read().headers["ETag"]

        again = console.read(**{"If-None-Match": etag})

        assert (again.status_code, again.data) == (304, b"")
        assert conforms(again, PATH)
        assert again.headers["ETag"] == etag
        assert again.headers["Cache-Control"] == "private, no-cache"
        assert console.reads() == {"found": 1, "unchanged": 1}

    def test_it_is_strong_and_changes_with_the_answer(self, console: Console) -> None:
        etag = console.read().headers["ETag"]
        console.entitlements.document = json.dumps(DOCUMENT | {"features": {}}).encode()

        changed = console.read(**{"If-None-Match": etag})

        assert changed.status_code == 200
        assert changed.headers["ETag"] != etag
        assert etag.startswith('"')

    @pytest.mark.parametrize("form", ['"other", {}', "W/{}", "*"])
    def test_every_form_of_the_header_is_understood(self, console: Console, form: str) -> None:
        etag = console.read().headers["ETag"]

        assert console.read(**{"If-None-Match": form.format(etag)}).status_code == 304

    def test_a_user_never_seen_has_nothing_that_could_still_hold(self, console: Console) -> None:
        assert console.read("usr_2", **{"If-None-Match": "*"}).status_code == 404

    def test_a_stranger_does_not_learn_whether_an_etag_holds(self, console: Console) -> None:
        etag = console.read().headers["ETag"]

        assert console.read(token="wrong", **{"If-None-Match": etag}).status_code == 401


class TestTokens:
    def test_without_a_token_the_database_is_not_asked(self, console: Console) -> None:
        response = console.read(token=None)

        assert problem(response) == (401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="paidup"'
        assert console.entitlements.asked == []
        assert console.reads() == {"unauthorized": 1}

    def test_a_wrong_token_is_named_as_one(self, console: Console) -> None:
        response = console.read(token="wrong")

        assert problem(response) == (401, "unauthorized")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
    def test_the_scheme_is_read_as_http_has_it(self, console: Console, scheme: str) -> None:
        headers = {"Authorization": f"{scheme} {TOKEN}"}

        response = console.client.get("/v1/users/usr_1/entitlements", headers=headers)

        assert response.status_code == 200

    @pytest.mark.parametrize(
        "header", [TOKEN, f"Basic {TOKEN}", f"Bearer{TOKEN}", "Bearer", "\xff"]
    )
    def test_anything_else_is_no_token(self, console: Console, header: str) -> None:
        headers = {"Authorization": header}

        response = console.client.get("/v1/users/usr_1/entitlements", headers=headers)

        assert problem(response) == (401, "unauthorized")

    def test_several_tokens_plain_and_hashed_all_let_in(self) -> None:
        drawn = generate_token("app")
        console = Console(tokens=f"one,{drawn.entry}")

        assert console.read(token="one").status_code == 200
        assert console.read(token=drawn.token).status_code == 200

    def test_an_empty_setting_refuses_every_token(self) -> None:
        console = Console(tokens="")

        assert {console.read(token=token).status_code for token in (None, "", "x")} == {401}

    def test_when_a_token_was_last_used_is_counted_by_its_name(self, console: Console) -> None:
        console.read()

        gauge = "billing_console_token_last_used_timestamp_seconds"
        at = console.metrics.registry.get_sample_value(gauge, {"token": "token-1"})
        assert at == console.clock.now.timestamp() > datetime(2020, 1, 1, tzinfo=UTC).timestamp()

    def test_a_refusal_is_found_in_the_log_by_its_instance_without_the_token(
        self, console: Console
    ) -> None:
        with capture_logs() as logged:
            response = console.read(token="wrong-token")

        (line,) = logged
        assert line["instance"] == json.loads(response.data)["instance"]
        assert "wrong-token" not in str(line)


class TestLimit:
    def test_a_client_over_its_rate_learns_when_to_come_back(self) -> None:
        console = Console(rate=2)

        answers = [console.read() for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert problem(answers[2]) == (429, "too-many-requests")
        assert answers[2].headers["Retry-After"] == "1"
        assert console.reads() == {"found": 2, "limited": 1}

    def test_one_token_does_not_use_up_anothers(self) -> None:
        console = Console(rate=1, tokens="one,two")

        answers = [console.read(token=token).status_code for token in ("one", "one", "two")]

        assert answers == [200, 429, 200]

    def test_requests_without_a_token_use_up_no_rate(self) -> None:
        console = Console(rate=1)
        for _ in range(5):
            console.read(token="wrong")

        assert console.read().status_code == 200


class TestUnreachableDatabase:
    @pytest.mark.parametrize("error", [AWAY, NoConnectionLeft()])
    def test_it_is_a_503_that_gives_nothing_away(self, error: Exception) -> None:
        console = Console(entitlements=FakeEntitlements(broken=error))

        response = console.read()

        assert problem(response) == (503, "unavailable")
        assert response.headers["Retry-After"] == "5"
        assert b"secret" not in response.data
        assert console.reads() == {"unavailable": 1}

    def test_after_one_failure_the_database_is_not_asked_until_a_probe_passes(self) -> None:
        console = Console(entitlements=FakeEntitlements(broken=AWAY))
        console.read()
        console.entitlements.broken = None

        assert console.read().status_code == 503
        assert len(console.entitlements.asked) == 1
        console.breaker.check()
        assert console.read().status_code == 200

    def test_a_schema_of_another_release_is_not_asked(self, console: Console) -> None:
        console.probe.reasons = ("run `paidup migrate`",)
        console.breaker.check()

        assert problem(console.read()) == (503, "unavailable")
        assert console.entitlements.asked == []

    def test_a_stranger_is_a_stranger_even_then(self) -> None:
        console = Console(entitlements=FakeEntitlements(broken=AWAY))

        assert console.read(token=None).status_code == 401

    def test_a_bug_is_a_problem_too_and_no_500(self) -> None:
        console = Console(entitlements=FakeEntitlements(broken=ValueError("a bug")))

        assert problem(console.read()) == (503, "unavailable")
