"""The audit and ``explain --at`` tell who stated what and why, by command and over HTTP alike."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from ops.console_tokens import Role, hashed_entry
from tests.ops.conftest import Paidup
from tests.ops.console.console_process import TOKEN, serving
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

AUDIT = text(
    "SELECT action, origin, actor, reason, user_id, before, after FROM audit_logs"
    " WHERE event_id = :id AND target_id = :subject"
)


class PastStatement(NamedTuple):
    """A statement that was recorded: its id, its subject, and a moment just after it."""

    id: str
    subject: str
    at: str


Stating = Callable[[str, str], dict[str, Any]]
"""States one thing about ``usr_1`` or a subject for a reason, and returns the answer."""


@contextmanager
def by_command(books: SeededDatabase, paidup: Paidup, _: Path) -> Iterator[Stating]:
    def state(what: str, reason: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(
            paidup(*what.split(), "--reason", reason, "--as", "ada", "--json")
        )
        return said

    yield state


@contextmanager
def over_http(books: SeededDatabase, _: Paidup, folder: Path) -> Iterator[Stating]:
    tokens = hashed_entry("ada", Role.OPERATOR, TOKEN)
    with serving(books.url, folder, PAIDUP_CONSOLE_TOKENS=tokens) as console:

        def state(what: str, reason: str) -> dict[str, Any]:
            path, body = request_of(*what.split())
            answer = console.state(path, {**body, "reason": reason}, key=reason.replace(" ", "-"))
            assert answer.status in {200, 201}, answer
            said: dict[str, Any] = answer.json()
            return said

        yield state


def request_of(group: str, verb: str, *rest: str) -> tuple[str, dict[str, Any]]:
    """Return the path and the body that ask for what a command asks for."""
    if verb == "end":
        return f"/v1/{group}/{rest[0]}/end", {}
    if group == "links":
        return "/v1/links", {"target": rest[0], "user_id": rest[1]}
    user, _, plan, _, lasts = rest
    return "/v1/grants", {"user_id": user, "plan": plan, "for": lasts}


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """Two users, of whom each bought something for good."""
    deployed(DATABASE_URL=books.url)
    for user in ("usr_1", "usr_2"):
        books.tell("onetime", user=user, seed=user)
    return books


def scalar(books: SeededDatabase, query: str) -> Any:
    with books.engine.connect() as connection:
        return connection.scalar(text(query))


def all_said(books: SeededDatabase, state: Stating) -> Iterator[tuple[str, PastStatement]]:
    """State one thing of each kind, and yield it with its reason."""
    payment = scalar(books, "SELECT payment_ref FROM payments WHERE user_id = 'usr_1'")
    last = {"grant": "", "link": ""}
    for what, kind, reason in (
        ("grants add usr_1 --plan team --for 30d", "grant", "the outage in May"),
        ("grants end {grant}", "grant", "given by mistake"),
        (f"links add {payment} usr_2", "link", "paid by a colleague"),
        ("links end {link}", "link", "the wrong colleague"),
    ):
        answer = state(what.format(**last), reason)
        last[kind] = answer[kind]
        at = scalar(books, "SELECT clock_timestamp()").isoformat().replace("+00:00", "Z")
        yield reason, PastStatement(answer["statement"], answer[kind], at)


@pytest.fixture(params=[("cli:ada", by_command), ("token:ada", over_http)], ids=["cli", "http"])
def stated_by(
    books: SeededDatabase, paidup: Paidup, tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[str, dict[str, PastStatement]]:
    """Return the actor, and what was stated by its reason."""
    actor, way = request.param
    with way(books, paidup, tmp_path) as state:
        return actor, dict(all_said(books, state))


def test_the_audit_has_actor_reason_before_and_after(
    books: SeededDatabase, stated_by: tuple[str, dict[str, PastStatement]]
) -> None:
    actor, said = stated_by

    def audited(reason: str) -> Any:
        with books.engine.connect() as connection:
            asked = {"id": said[reason].id, "subject": said[reason].subject}
            entry = connection.execute(AUDIT, asked).one()
        assert (entry.origin, entry.actor, entry.reason) == ("operator", actor, reason)
        return entry.action, entry.user_id, entry.before, entry.after

    action, user, before, grant = audited("the outage in May")
    assert (action, user, before) == ("grant.added", "usr_1", None)
    assert (grant["user_id"], grant["plan_code"], grant["realm"]) == ("usr_1", "team", "any")
    assert grant["until"] > grant["starts_at"]
    assert audited("given by mistake") == ("grant.ended", "usr_1", grant, None)
    action, user, before, link = audited("paid by a colleague")
    assert (action, user, before) == ("link.added", "usr_2", None)
    assert (link["user_id"], link["realm"]) == ("usr_2", "test")
    assert link["target"].startswith("pi_")
    assert audited("the wrong colleague") == ("link.ended", "usr_2", link, None)


def test_the_past_is_explained_by_those_who_stated_it_then(
    paidup: Paidup, stated_by: tuple[str, dict[str, PastStatement]]
) -> None:
    actor, said = stated_by

    def explains(user: str, feature: str, allowed: str, done: str, reason: str) -> None:
        statement = said[reason]
        past = paidup("explain", user, feature, "--at", statement.at)
        assert f"{feature}: was {allowed}" in past
        (by,) = [line for line in past.splitlines() if statement.id in line and done in line]
        assert f"by {actor} ({statement.id}) ({reason})" in by

    explains("usr_1", "max_devices", "allowed 1, until", "granted at", "the outage in May")
    explains("usr_1", "max_devices", "not allowed", "revoked at", "given by mistake")
    explains("usr_1", "lifetime", "not allowed", "revoked at", "paid by a colleague")
    explains("usr_2", "lifetime", "allowed", "granted at", "paid by a colleague")
    explains("usr_1", "lifetime", "allowed", "granted at", "the wrong colleague")
    explains("usr_2", "lifetime", "allowed", "revoked at", "the wrong colleague")
