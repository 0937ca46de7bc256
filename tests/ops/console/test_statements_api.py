"""Grants and links over HTTP: for operators' tokens, once for each key, with a clear refusal."""

import json
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from werkzeug.test import TestResponse

from ops.console_tokens import Role, hashed_entry
from ops.errors import CommandFailed
from ops.statements.grants import EndRequest, GrantRequest, NoSuchGrant
from ops.statements.links import LinkRequest, NoSuchLink
from runtime.idempotency import InFlight, KeyReused
from runtime.ledger.errors import CatalogueMissing, StatementRefused
from tests.ops.console.console_client import Console, conforms

OPERATOR, READER = "a-token-of-an-operator", "a-token-of-a-reader"
GRANT = {"user_id": "usr_1", "plan": "premium", "for": "4mo", "reason": "the outage"}
LINK = {"target": "cs_1", "user_id": "usr_1", "reason": "a guest"}
PATHS = {
    "/v1/grants": ("/v1/grants", GRANT),
    "/v1/grants/{grant}/end": ("/v1/grants/grant_1/end", {"reason": "over"}),
    "/v1/links": ("/v1/links", LINK),
    "/v1/links/{link}/end": ("/v1/links/link_1/end", {"reason": "over"}),
}


@pytest.fixture
def console() -> Console:
    entries = (
        hashed_entry("support", Role.OPERATOR, OPERATOR),
        hashed_entry("app", Role.READER, READER),
    )
    return Console(tokens=",".join(entries))


def post(
    console: Console, url: str, body: Any, *, token: str = OPERATOR, **headers: str
) -> TestResponse:
    given = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k-1", **headers}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return console.client.post(
        url, data=data, headers=given, content_type=headers.get("type", "application/json")
    )


@pytest.mark.parametrize("path", PATHS)
def test_an_operator_states_it_and_gets_what_is_described(console: Console, path: str) -> None:
    url, body = PATHS[path]

    response = post(console, url, body)

    assert response.status_code == (200 if path.endswith("/end") else 201)
    assert conforms(response, path, method="post")
    ((request, key, scope),) = console.statements.asked
    assert (request.actor, key, scope) == ("token:support", "k-1", "support")
    assert "Idempotent-Replayed" not in response.headers


@pytest.mark.parametrize("path", PATHS)
def test_a_reader_never_writes(console: Console, path: str) -> None:
    url, body = PATHS[path]

    response = post(console, url, body, token=READER)

    assert response.status_code == 403
    assert conforms(response, path, method="post")
    assert console.statements.asked == []
    assert post(console, url, body, token="unknown").status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_a_request_without_a_key_is_refused(console: Console, path: str) -> None:
    url, body = PATHS[path]

    response = console.client.post(url, json=body, headers={"Authorization": f"Bearer {OPERATOR}"})

    assert response.status_code == 400
    assert conforms(response, path, method="post")
    assert console.statements.asked == []


def test_a_repeated_key_says_so(console: Console) -> None:
    console.statements.repeated = True

    response = post(console, "/v1/grants", GRANT)

    assert response.status_code == 201
    assert response.headers["Idempotent-Replayed"] == "true"


def test_everything_in_the_body_reaches_the_grant(console: Console) -> None:
    features = {"max_devices": 5, "beta": True}
    body = {
        "user_id": "usr_1", "features": features, "until": "2026-12-31", "from": "2026-12-01",
        "reason": "why", "test": True, "new_user": True, "new_feature": True,
    }  # fmt: skip

    post(console, "/v1/grants", body)

    ((request, _, _),) = console.statements.asked
    assert isinstance(request, GrantRequest)
    assert (request.plan_code, request.features) == (None, features)
    assert str(request.until) == "2027-01-01 00:00:00+00:00"
    assert str(request.starts_at) == "2026-12-01 00:00:00+00:00"
    assert (request.test, request.new_user, request.new_feature) == (True, True, True)


def test_links_and_ends_are_read_from_path_and_body(console: Console) -> None:
    post(console, "/v1/links", {**LINK, "new_user": True})
    post(console, "/v1/grants/grant_7/end", {"reason": "over"})

    (link, _, _), (end, _, _) = console.statements.asked
    assert link == LinkRequest(
        target="cs_1", user_id="usr_1", actor="token:support", reason="a guest", new_user=True
    )
    assert end == EndRequest(id="grant_7", actor="token:support", reason="over")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "the body is not JSON"),
        (b"[" * 50_000, "the body is not JSON"),
        ([], "not a JSON object"),
        ({**GRANT, "colour": "red"}, "'colour' is unknown"),
        ({**GRANT, "user_id": 5}, "user_id is not a text"),
        ({**GRANT, "test": "yes"}, "test is not a true or false"),
        ({**GRANT, "reason": " "}, "reason needs 1 to 500 characters"),
        ({**GRANT, "reason": "x" * 501}, "reason needs 1 to 500 characters"),
        ({"user_id": "usr_1", "plan": "premium", "for": "1d"}, "reason is missing"),
        ({**GRANT, "until": "2027-01-01"}, "one of `for`, `until` and `forever`"),
        ({**GRANT, "for": "soon"}, "is no duration"),
        ({**GRANT, "features": {"x": 1.5}}, "neither true, false nor a whole number"),
        ({**GRANT, "features": {"": True}}, "names no feature"),
        ({**GRANT, "for": "0d"}, "write 12h, 30d, 4w, 4mo or 1y; /openapi.json"),
        ({"user_id": "usr_1", "plan": "premium", "reason": "x", "until": "0001-01-01"}, "the past"),
        (
            {"user_id": "usr_1", "plan": "premium", "reason": "x", "until": "9999-01-01"},
            "too far in the future: `forever` has no end",
        ),
        (b'{"user_id": "usr_1", "user_id": "usr_2"}', "'user_id' stands there twice"),
        (json.dumps(GRANT).encode("utf-16"), "the body is not JSON in UTF-8"),
    ],
)
def test_what_is_no_grant_is_refused_with_what_is_wrong(
    console: Console, body: Any, says: str
) -> None:
    response = post(console, "/v1/grants", body)

    assert response.status_code in {400, 413}
    assert conforms(response, "/v1/grants", method="post")
    assert response.status_code == 413 or says in response.get_json()["detail"]
    assert console.statements.asked == []


def test_a_body_of_another_type_or_size_is_refused(console: Console) -> None:
    headers = {"Authorization": f"Bearer {OPERATOR}", "Idempotency-Key": "k"}
    typed = console.client.post(
        "/v1/grants", data=b"{}", headers=headers, content_type="text/plain"
    )
    large = post(console, "/v1/grants", b" " * 70_000)

    assert (typed.status_code, large.status_code) == (415, 413)
    assert conforms(typed, "/v1/grants", method="post")
    assert conforms(large, "/v1/grants", method="post")


def test_a_query_is_refused_since_nothing_there_is_obeyed(console: Console) -> None:
    response = post(console, "/v1/grants?dry_run=true", GRANT)

    assert response.status_code == 400
    assert response.get_json()["type"] == "urn:paidup:problem:unusable-query"
    assert conforms(response, "/v1/grants", method="post")
    assert console.statements.asked == []


def test_a_long_unknown_member_is_not_echoed(console: Console) -> None:
    response = post(console, "/v1/grants", {**GRANT, "x" * 5_000: "red"})

    assert response.status_code == 400
    assert len(response.get_json()["detail"]) < 400


@pytest.mark.parametrize(
    ("says", "detail"),
    [
        ("the user 'a--b' is new: give --new-user", "the user 'a--b' is new: give `new_user`"),
        ("give --new-feature", "give `new_feature`"),
        ("either: --plan or --feature", "either: `plan` or `features`"),
    ],
)
def test_a_refusal_names_members_of_the_body_and_no_options_of_a_command(
    console: Console, says: str, detail: str
) -> None:
    console.statements.broken = CommandFailed(says)

    response = post(console, "/v1/grants", GRANT)

    assert response.get_json()["detail"] == detail


AWAY = OperationalError("SELECT 1", {}, psycopg.OperationalError("connection refused"))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (CommandFailed("there is no plan 'x'"), 422, "statement-refused"),
        (StatementRefused("grant_1", "ada ended it already"), 422, "statement-refused"),
        (InFlight("grants.add", "k-1"), 409, "idempotency-key-in-flight"),
        (KeyReused("grants.add", "k-1"), 422, "idempotency-key-reused"),
        (AWAY, 503, "unavailable"),
    ],
)
def test_what_cannot_be_recorded_is_a_problem_with_a_status(
    console: Console, error: Exception, status: int, code: str
) -> None:
    console.statements.broken = error

    response = post(console, "/v1/grants", GRANT)

    assert response.status_code == status
    assert response.get_json()["type"] == f"urn:paidup:problem:{code}"
    assert conforms(response, "/v1/grants", method="post")


def test_while_the_database_is_away_nothing_is_tried(console: Console) -> None:
    console.statements.broken = AWAY
    post(console, "/v1/grants", GRANT)
    asked = len(console.statements.asked)

    response = post(console, "/v1/grants", GRANT)

    assert response.status_code == 503
    assert "Retry-After" in response.headers
    assert len(console.statements.asked) == asked


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v1/grants/{grant}/end", NoSuchGrant("grant_1")),
        ("/v1/links/{link}/end", NoSuchLink("link_1")),
    ],
)
def test_the_end_of_what_is_not_there_is_not_found(
    console: Console, path: str, error: Exception
) -> None:
    console.statements.broken = error

    response = post(console, *PATHS[path])

    assert response.status_code == 404
    assert response.get_json()["detail"].startswith("there is no ")
    assert "paidup" not in response.get_json()["detail"]
    assert conforms(response, path, method="post")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoConnectionLeft("QueuePool limit of size 2 reached"), 503),
        (DataError("INSERT", {}, psycopg.DataError("a text that no column takes")), 422),
        (CatalogueMissing(), 503),
    ],
)
def test_what_concerns_one_request_alone_is_no_reason_to_refuse_all_others(
    console: Console, error: Exception, status: int
) -> None:
    console.statements.broken = error
    failed = post(console, "/v1/grants", GRANT)
    console.statements.broken = None

    assert failed.status_code == status
    assert conforms(failed, "/v1/grants", method="post")
    assert "nothing was recorded" in failed.get_json()["detail"]
    assert post(console, "/v1/grants", GRANT).status_code == 201
    assert console.read(token=READER).status_code == 200


def test_a_bug_tells_who_writes_to_repeat_the_request(console: Console) -> None:
    console.statements.broken = RuntimeError("a bug")

    response = post(console, "/v1/grants", GRANT)

    assert response.status_code == 503
    assert "repeat the request with the same Idempotency-Key" in response.get_json()["detail"]
    assert conforms(response, "/v1/grants", method="post")
