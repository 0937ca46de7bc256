"""Histories as data, and the one place that knows how ``billing`` plays them."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from billing.catalogue import Catalogue, read_catalogue
from billing.envelope import parse
from billing.facts import Fact
from billing.ids import EventId, Realm
from billing.projection.effective import merge_grants
from billing.projection.party import project
from billing.readers.registry import read_event
from billing.rows import Projection
from billing.statements import OperatorGrant, OperatorLink, OperatorStatement

HERE = Path(__file__).parent
OLD = "-old"
"""The end of the name of a history in the older API version."""

Stated = Mapping[str, Any]
"""One table of ``expected.toml``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldByUser:
    """The end for one user: features, and money received and given back."""

    features: Mapping[str, bool | int]
    paid: int
    refunded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEnd:
    """The end of a history: what each user holds, the money of nobody, what is in no plan."""

    users: Mapping[str, HeldByUser]
    of_no_user: int
    unknown_prices: frozenset[str] | None


@cache
def expectations() -> Mapping[str, Stated]:
    """Return the table of each history."""
    return tomllib.loads((HERE / "expected.toml").read_text())


def history_names() -> list[str]:
    """Return the name of each file of events."""
    return sorted(path.stem for path in HERE.glob("*.jsonl"))


def stated_about(name: str) -> Stated:
    """Return the table of a history, whichever its API version."""
    return expectations()[name.removesuffix(OLD)]


@cache
def bodies_of(name: str) -> tuple[bytes, ...]:
    """Return the bodies of a history, in the order in which things happened."""
    return tuple((HERE / f"{name}.jsonl").read_bytes().splitlines())


def expected_end(name: str) -> HistoryEnd:
    """Return the end that a history states."""
    stated = stated_about(name)
    others = {user: HeldByUser(**held) for user, held in stated.get("others", {}).items()}
    own = HeldByUser(features=stated["features"], paid=stated["paid"], refunded=stated["refunded"])
    unknown = stated.get("unknown_prices")
    return HistoryEnd(
        users={**others, stated["user"]: own},
        of_no_user=stated.get("of_no_user", 0),
        unknown_prices=None if unknown is None else frozenset(unknown),
    )


def actual_end(name: str, bodies: Iterable[bytes]) -> HistoryEnd:
    """Return the end that ``billing`` computes, in the terms in which a history states its own."""
    expected, at = expected_end(name), moment_of(name)
    projection = play(bodies, catalogue_of(name), at, statements_of(name))
    return HistoryEnd(
        users={user: _held(projection, user, at) for user in expected.users},
        of_no_user=sum(
            row.amount_minor for row in projection.payments.values() if row.user_id is None
        ),
        unknown_prices=expected.unknown_prices and projection.unknown_prices,
    )


def play(
    bodies: Iterable[bytes], catalogue: Catalogue, at: datetime, stated: Iterable[Fact] = ()
) -> Projection:
    """Return the projection of these events, in this order, at a moment."""
    facts = [fact for body in bodies for fact in read_event(parse(body)).facts]
    return project([*facts, *stated], catalogue, at)


def statements_of(name: str) -> list[Fact]:
    """Return the facts that people stated in a history: links and grants, and their ends."""
    stated = stated_about(name)
    return [
        fact
        for number, each in enumerate((*stated.get("links", ()), *stated.get("grants", ())))
        for fact in _facts_of_statement(number, each)
    ]


def _facts_of_statement(number: int, stated: Stated) -> list[Fact]:
    made = OperatorStatement(
        id=EventId(f"op_{number}"),
        subject=_link(number, stated) if "target" in stated else _grant(number, stated),
        ends=False,
        actor="person:ada",
        reason="as the history says",
        made_at=stated["since"],
    )
    if "ended" not in stated:
        return [made.fact()]
    end_id, since = EventId(f"op_{number}_end"), made.made_at
    ended = replace(made, id=end_id, ends=True, made_at=stated["ended"], link_since=since)
    return [made.fact(), ended.fact()]


def _link(number: int, stated: Stated) -> OperatorLink:
    return OperatorLink(
        id=f"link_{number}", user_id=stated["user"], target=stated["target"], realm=Realm("test")
    )


def _grant(number: int, stated: Stated) -> OperatorGrant:
    return OperatorGrant(
        id=f"grant_{number}",
        user_id=stated["user"],
        plan_code=stated.get("plan"),
        features=tuple(sorted(stated["features"].items())),
        starts_at=stated.get("starts", stated["since"]),
        until=stated.get("until"),
    )


def moment_of(name: str) -> datetime:
    """Return the moment of the end: stated, else a minute after the newest event."""
    stated = stated_about(name).get("at")
    if isinstance(stated, datetime):
        return stated
    newest = max(json.loads(body)["created"] for body in bodies_of(name))
    return datetime.fromtimestamp(newest, UTC) + timedelta(minutes=1)


def plain_catalogue() -> Catalogue:
    """Return the catalogue of ``plans.toml`` alone."""
    return read_catalogue(_document())


def catalogue_of(name: str) -> Catalogue:
    """Return the catalogue with what a history lays over it, the successor of any former one."""
    stated = stated_about(name)
    former = [_laid_over(stated["former"])] if "former" in stated else []
    return _laid_over(stated).with_former(former)


def _laid_over(stated: Stated) -> Catalogue:
    document = _document()
    for code, more in stated.get("plans", {}).items():
        document["plans"][code] = document["plans"].get(code, {}) | more
    for code in stated.get("without_plans", ()):
        del document["plans"][code]
    parts = {part: stated[part] for part in ("policy", "catalogue", "identity") if part in stated}
    return read_catalogue({**document, **parts})


def _document() -> dict[str, Any]:
    return tomllib.loads((HERE / "plans.toml").read_text())


def _held(projection: Projection, user: str, at: datetime) -> HeldByUser:
    grants = [row for row in projection.entitlements.values() if row.user_id == user]
    payments = [row for row in projection.payments.values() if row.user_id == user]
    return HeldByUser(
        features=merge_grants(grants, at),
        paid=sum(row.amount_minor for row in payments),
        refunded=sum(row.amount_refunded_minor for row in payments),
    )
