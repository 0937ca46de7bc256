"""Responses as applications get them, each validated against the OpenAPI document."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from ops.console.entitlements import MAX_USERS
from ops.console.read_queries import MAX_CHANGES
from ops.console_tokens import generate_token
from runtime.time_limits import CHANGE_WAIT_SECONDS
from tests.ingest.ingest_process import wait_until
from tests.ops.console.console_client import (
    DOCUMENT,
    EPOCH,
    TOKEN,
    Console,
    FakeChanges,
    FakeEntitlements,
    conforms,
    parameter,
)

PATH = "/v1/users/{user_id}/entitlements"
MANY = "/v1/entitlements"
CHANGES = "/v1/changes"
NO_NUMBERS = ("", "x", "-1", "+1", "1.5", "1e1", "0x1", "%201", "\u0661", "9" * 19)
AWAY = OperationalError("SELECT secret", {}, Exception("password is secret"))


@pytest.fixture
def console() -> Console:
    return Console()


def problem(response: TestResponse, path: str = PATH) -> tuple[int, str]:
    document = json.loads(response.data)
    assert conforms(response, path)
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

    def test_a_user_never_seen_is_answered_with_nothing(self, console: Console) -> None:
        response = console.read("usr_9")

        assert conforms(response, PATH)
        assert response.status_code == 200
        assert (response.get_json()["known"], response.get_json()["features"]) == (False, {})
        assert console.reads() == {"unknown": 1}

    def test_a_path_that_takes_no_parameter_refuses_one(self, console: Console) -> None:
        response = console.get("/v1/users/usr_1/entitlements?feature=signals_enabled")

        assert problem(response) == (400, "unusable-query")
        assert response.get_json()["detail"] == "This path takes no parameters."
        assert console.entitlements.asked == []

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

    @pytest.mark.parametrize(
        "change",
        [
            {"features": {}},
            {"pending_update": {"since": "2026-11-22T12:00:00+00:00", "event_id": "evt_1"}},
        ],
    )
    def test_it_is_strong_and_changes_with_the_answer(
        self, console: Console, change: dict[str, Any]
    ) -> None:
        etag = console.read().headers["ETag"]
        console.entitlements.document = json.dumps(DOCUMENT | change).encode()

        changed = console.read(**{"If-None-Match": etag})

        assert changed.status_code == 200
        assert conforms(changed, PATH)
        assert changed.headers["ETag"] != etag
        assert etag.startswith('"')

    @pytest.mark.parametrize("form", ['"other", {}', "W/{}", "*"])
    def test_every_form_of_the_header_is_understood(self, console: Console, form: str) -> None:
        etag = console.read().headers["ETag"]

        assert console.read(**{"If-None-Match": form.format(etag)}).status_code == 304

    def test_the_answer_about_a_user_never_seen_holds_until_one_is_seen(
        self, console: Console
    ) -> None:
        etag = console.read("usr_2").headers["ETag"]
        assert console.read("usr_2", **{"If-None-Match": etag}).status_code == 304

        console.entitlements.known = "usr_2"

        assert console.read("usr_2", **{"If-None-Match": etag}).status_code == 200

    def test_a_stranger_does_not_learn_whether_an_etag_holds(self, console: Console) -> None:
        etag = console.read().headers["ETag"]

        assert console.read(token="wrong", **{"If-None-Match": etag}).status_code == 401


class TestMany:
    def test_users_are_answered_in_the_order_they_are_named(self, console: Console) -> None:
        response = console.get(f"{MANY}?user_id=usr_2&user_id=usr_1")

        assert conforms(response, MANY)
        found = response.get_json()["entitlements"]
        assert [(each["user_id"], each["known"]) for each in found] == [
            ("usr_2", False),
            ("usr_1", True),
        ]
        assert console.reads() == {"found": 1}
        again = console.get(
            f"{MANY}?user_id=usr_2&user_id=usr_1", **{"If-None-Match": response.headers["ETag"]}
        )
        assert again.status_code == 304

    def test_an_id_arrives_as_it_is(self, console: Console) -> None:
        console.get(f"{MANY}?user_id=a%2Fb%26c%3Dd&user_id=Zo%C3%AB&user_id=nul%00")

        assert console.entitlements.asked == ["a/b&c=d", "Zo\u00eb", "nul\0"]

    def test_a_customer_is_asked_for_by_its_id(self, console: Console) -> None:
        response = console.get(f"{MANY}?customer=cus_1")

        assert conforms(response, MANY)
        assert (response.status_code, response.get_json()["known"]) == (200, False)
        assert console.entitlements.asked == ["cus_1"]
        assert console.reads() == {"unknown": 1}

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "user_id=",
            "user_id=usr_1&user_id=",
            "customer=",
            "user_id=usr_1&customer=cus_1",
            "customer=cus_1&customer=cus_2",
            "customer=cus_1&wait=25",
            "user_id=usr_1&user=usr_2",
            "&".join(f"user_id=usr_{number}" for number in range(101)),
        ],
    )
    def test_a_query_that_names_nothing_or_too_much_reaches_no_database(
        self, console: Console, query: str
    ) -> None:
        response = console.get(f"{MANY}?{query}")

        assert problem(response, MANY) == (400, "unusable-query")
        assert "1 to 100 users" in response.get_json()["detail"]
        assert console.entitlements.asked == []
        assert console.reads() == {"invalid": 1}

    def test_a_hundred_users_are_answered(self, console: Console) -> None:
        query = "&".join(f"user_id=usr_{number}" for number in range(100))

        assert len(console.get(f"{MANY}?{query}").get_json()["entitlements"]) == 100

    def test_without_a_token_nothing_is_read(self, console: Console) -> None:
        for url in (f"{MANY}?user_id=usr_1", f"{CHANGES}?after=0"):
            assert problem(console.get(url, token=None), url.partition("?")[0])[0] == 401
        assert (console.entitlements.asked, console.changes.asked) == ([], 0)


class TestChanges:
    @pytest.fixture
    def console(self) -> Console:
        return Console(changes=FakeChanges(newest=3))

    def cursors(self, response: TestResponse) -> list[int]:
        assert conforms(response, CHANGES)
        return [change["cursor"] for change in response.get_json()["changes"]]

    def test_changes_come_in_order_with_the_cursor_to_go_on_from(self, console: Console) -> None:
        first = console.get(f"{CHANGES}?after=0&limit=2")
        second = console.get(f"{CHANGES}?after={first.get_json()['cursor']}&limit=2")

        assert self.cursors(first) == [1, 2]
        assert self.cursors(second) == [3]
        assert (first.get_json()["more"], second.get_json()["more"]) == (True, False)
        assert console.reads() == {"found": 2}

    def test_without_a_cursor_it_says_where_to_start_and_does_not_wait(
        self, console: Console
    ) -> None:
        response = console.get(f"{CHANGES}?wait=25")

        assert self.cursors(response) == []
        assert response.get_json()["cursor"] == 3

    def test_a_change_that_is_there_is_not_waited_for(self, console: Console) -> None:
        assert self.cursors(console.get(f"{CHANGES}?after=2&wait=25")) == [3]

    def test_a_request_waits_until_there_is_a_change(self, console: Console) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(console.get, f"{CHANGES}?after=3&wait=25")
            wait_until(lambda: console.newest_cursor.waiting == 1)
            console.newest_cursor.look()
            assert not waiting.done()
            console.changes.newest = 4
            console.newest_cursor.look()
            response = waiting.result(timeout=20)

        assert self.cursors(response) == [4]

    def test_another_epoch_ends_the_wait_and_is_named(self, console: Console) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(console.get, f"{CHANGES}?after=3&wait=25")
            wait_until(lambda: console.newest_cursor.waiting == 1)
            console.changes.epoch = "another"
            console.newest_cursor.look()
            response = waiting.result(timeout=20)

        assert self.cursors(response) == []
        assert response.get_json()["epoch"] == "another"

    def test_a_wait_without_a_change_ends_with_none(self, console: Console) -> None:
        response = console.get(f"{CHANGES}?after=3&wait=1")

        assert self.cursors(response) == []
        assert response.get_json()["cursor"] == 3
        assert console.reads() == {"unchanged": 1}

    def test_a_stop_ends_the_wait_and_lets_none_begin(self, console: Console) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(console.get, f"{CHANGES}?after=3&wait=25")
            wait_until(lambda: console.newest_cursor.waiting == 1)
            console.newest_cursor.stop()
            assert self.cursors(waiting.result(timeout=20)) == []

        assert self.cursors(console.get(f"{CHANGES}?after=3&wait=25")) == []

    def test_one_more_than_may_wait_has_to_come_back(self, console: Console) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(console.get, f"{CHANGES}?after=3&wait=25")
            wait_until(lambda: console.newest_cursor.waiting == 1)
            refused = console.get(f"{CHANGES}?after=3&wait=25")
            others = [console.get(f"{CHANGES}?after={after}").status_code for after in (0, 3)]
            console.newest_cursor.stop()
            waiting.result(timeout=20)

        assert problem(refused, CHANGES) == (429, "too-many-waiting")
        assert refused.headers["Retry-After"] == "5"
        assert others == [200, 200]

    def test_a_database_that_fails_meanwhile_ends_the_wait(self, console: Console) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(console.get, f"{CHANGES}?after=3&wait=25")
            wait_until(lambda: console.newest_cursor.waiting == 1)
            console.changes.broken = AWAY
            console.newest_cursor.look()
            response = waiting.result(timeout=20)

        assert problem(response, CHANGES) == (503, "unavailable")

    def test_a_cursor_of_a_future_that_was_undone_is_a_conflict(self, console: Console) -> None:
        response = console.get(f"{CHANGES}?after=4&wait=25")

        assert problem(response, CHANGES) == (409, "cursor-ahead")
        assert response.get_json()["newest"] == 3
        assert response.get_json()["epoch"] == EPOCH

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            *((f"after={cursor}", "after, the cursor") for cursor in NO_NUMBERS),
            *((f"after=0&wait={wait}", "from 0 to 25") for wait in (*NO_NUMBERS, "26", "025x")),
            *((f"after=0&limit={limit}", "from 1 to 1000") for limit in (*NO_NUMBERS, "0", "1001")),
            *((f"after=0&{name}=1&{name}=1", "at most once") for name in ("after", "wait")),
            ("after=0&limit=1&limit=2", "at most once"),
            *((f"after=0&{other}", "and no other") for other in ("afer=7", "user_id=usr_1", "=")),
        ],
    )
    def test_a_parameter_that_is_not_understood_is_refused_with_its_bounds(
        self, console: Console, query: str, says: str
    ) -> None:
        response = console.get(f"{CHANGES}?{query}")

        assert problem(response, CHANGES) == (400, "unusable-query")
        assert says in response.get_json()["detail"]
        assert console.changes.asked == 0
        assert console.reads() == {"invalid": 1}

    def test_the_document_says_the_bounds(self, console: Console) -> None:
        wait, limit = parameter(CHANGES, "wait"), parameter(CHANGES, "limit")

        assert (wait["minimum"], wait["maximum"]) == (0, CHANGE_WAIT_SECONDS)
        assert (limit["minimum"], limit["maximum"]) == (1, MAX_CHANGES)
        assert parameter(MANY, "user_id")["maxItems"] == MAX_USERS
        highest = f"after=2&wait={wait['maximum']}&limit={limit['maximum']}"
        assert self.cursors(console.get(f"{CHANGES}?{highest}")) == [3]

    def test_the_highest_cursor_is_ahead_and_one_more_is_unusable(self, console: Console) -> None:
        highest = parameter(CHANGES, "after")["maximum"]
        answers = [console.get(f"{CHANGES}?after={highest + more}") for more in (0, 1)]

        assert [problem(each, CHANGES)[0] for each in answers] == [409, 400]


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

    def test_a_request_that_got_no_connection_declines_no_other(self, console: Console) -> None:
        console.entitlements.broken = console.changes.broken = NoConnectionLeft()
        refused = [(console.read(), PATH), (console.get(f"{CHANGES}?after=0"), CHANGES)]
        console.entitlements.broken = console.changes.broken = None

        for response, path in refused:
            assert problem(response, path) == (503, "unavailable")
            assert response.headers["Retry-After"] == "5"
        assert console.read().status_code == 200
        assert console.get(f"{CHANGES}?after=0").status_code == 200

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
