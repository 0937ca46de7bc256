"""The only place where worlds meet ``billing``: bytes, facts, projection, and its rows."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from billing.catalogue import Catalogue, read_catalogue
from billing.envelope import parse
from billing.errors import InvalidCatalogue
from billing.facts import Fact
from billing.ids import EVERY_REALM, EventId, Realm, realm_of
from billing.projection.effective import merge_grants
from billing.projection.party import PartyFacts, project
from billing.readers.registry import read_event
from billing.rows import Projection, PurchaseStatus
from billing.statements import OperatorGrant, OperatorLink, OperatorStatement
from ops.samples.scenario import Event
from ops.samples.worlds.account import PersonGrant, StripeAccount, UserLink
from ops.samples.worlds.world import World

Facts = tuple[Fact, ...]


@dataclass(frozen=True)
class Ending:
    """The rows of a projection in the terms in which a world states its end."""

    features: Mapping[tuple[str, str], Mapping[str, Any]]
    """By realm and user."""
    grants: Mapping[tuple[str, str, str, str], tuple[Mapping[str, Any], int | None]]
    """Features and end by realm, user, source and plan, of what is in force."""
    money: Mapping[tuple[str, str], tuple[str | None, int, int, str, str | None, int]]
    """User, received, refunded, currency, dispute and second, by realm and reference."""
    statuses: Mapping[tuple[str, str], str]
    """Status by realm and subscription."""
    unsold: frozenset[str]
    waits: bool
    lines: Mapping[tuple[str, str], tuple[str | None, int]]
    """Plan and quantity by realm and line, of paid purchases whose lines are known."""


def catalogue_of(document: Mapping[str, Any], former: Sequence[Mapping[str, Any]]) -> Catalogue:
    """Return the catalogue that succeeds ``former``, which is given newest first."""
    return _read(document).with_former([_read(each) for each in reversed(former)])


def _read(document: Mapping[str, Any]) -> Catalogue:
    """Read a document; where ``billing`` does not know a setting yet, read it without that."""
    try:
        return read_catalogue(deepcopy(dict(document)))
    except InvalidCatalogue:
        known = {name: deepcopy(document.get(name, {})) for name in ("plans", "policy")}
        for plan in known["plans"].values():
            plan.pop("lasts_days", None)
        known["plans"].pop("desk", None)
        ways = ("refund_full", "refund_partial", "dispute_open", "dispute_lost")
        known["policy"] = {way: known["policy"][way] for way in ways if way in known["policy"]}
        return read_catalogue(known)


def facts_of(events: Iterable[Event]) -> list[Facts]:
    """Return the facts of every event, read from its bytes."""
    return [read_event(parse(event.body)).facts for event in events]


def statements_of(world: World) -> list[Facts]:
    """Return what people stated in a world as facts."""
    stated = [
        statement
        for account in world.accounts
        for subject in subjects_of(account)
        for statement in _statements(subject)
    ]
    return [(each.fact(),) for each in stated]


class StatedSubject(NamedTuple):
    """A grant or link as ``billing`` knows it, and the times at which people made and ended it."""

    subject: OperatorGrant | OperatorLink
    made_at: float
    ended_at: float | None


def subjects_of(account: StripeAccount) -> list[StatedSubject]:
    """Return the grants and links of an account."""
    links = [
        StatedSubject(_link(account.realm, number, each), each.at, each.ended_at)
        for number, each in enumerate(account.linked)
    ]
    grants = [StatedSubject(_grant(each), each.at, each.ended_at) for each in account.granted]
    return [*links, *grants]


def _link(realm: str, number: int, link: UserLink) -> OperatorLink:
    return OperatorLink(
        id=f"link_{number}_{link.object_id}",
        user_id=link.user,
        target=link.object_id,
        realm=Realm(realm),
    )


def _grant(grant: PersonGrant) -> OperatorGrant:
    realm = EVERY_REALM if grant.everywhere else realm_of(None, livemode=False)
    return OperatorGrant(
        id=grant.id,
        user_id=grant.user,
        plan_code=grant.plan,
        features=tuple(sorted(grant.features.items())),
        per_seat=grant.per_seat,
        starts_at=_time(grant.starts_at),
        until=None if grant.until is None else _time(grant.until),
        realm=realm,
    )


def _statements(stated: StatedSubject) -> list[OperatorStatement]:
    made_at = _time(stated.made_at)
    made = OperatorStatement(
        id=EventId(f"op_{stated.subject.id}"),
        subject=stated.subject,
        ends=False,
        actor="person:ada",
        reason="as a world says",
        made_at=made_at,
    )
    if stated.ended_at is None:
        return [made]
    end_id = EventId(f"op_end_{stated.subject.id}")
    ended_at = _time(stated.ended_at)
    return [made, replace(made, id=end_id, ends=True, made_at=ended_at, link_since=made_at)]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def ending(facts: Iterable[Facts], catalogue: Catalogue, now: int) -> Ending:
    """Project facts at a moment and return where they end."""
    at = datetime.fromtimestamp(now, UTC)
    return _ending(project([one for some in facts for one in some], catalogue, at), at)


def ending_step_by_step(facts: Iterable[Facts], catalogue: Catalogue, now: int) -> Ending:
    """Project after every event, as a worker does, and return where the last one ends."""
    at = datetime.fromtimestamp(now, UTC)
    party = PartyFacts()
    for some in facts:
        party.add(some)
        party.project(catalogue, at)
    return _ending(party.project(catalogue, at), at)


def _ending(projection: Projection, at: datetime) -> Ending:
    rows = [row for row in projection.entitlements.values() if row.active]
    holders = sorted({(str(row.realm), str(row.user_id)) for row in rows})
    return Ending(
        features={
            (realm, user): merge_grants(
                [row for row in rows if (row.realm, row.user_id) == (realm, user)], at
            )
            for realm, user in holders
        },
        grants={
            (str(row.realm), str(row.user_id), row.source, str(row.plan_code)): (
                dict(row.entitlements),
                int(row.expires_at.timestamp()) if row.expires_at else None,
            )
            for row in rows
        },
        money={
            (str(row.realm), str(row.payment_ref)): (
                row.user_id,
                row.amount_minor,
                row.amount_refunded_minor,
                row.currency,
                row.dispute_status,
                int(row.occurred_at.timestamp()),
            )
            for row in projection.payments.values()
            if row.amount_minor or row.provisional
        },
        statuses={
            (str(row.realm), row.stripe_subscription_id): row.status
            for row in projection.subscriptions.values()
        },
        unsold=projection.unknown_prices,
        waits=projection.waiting,
        lines={
            (str(row.realm), line): (row.plan_code, getattr(row, "quantity", 1))
            for row in projection.purchases.values()
            if row.status is PurchaseStatus.PAID and (line := getattr(row, "line", ""))
        },
    )
