"""The only place where worlds meet ``billing``: bytes, facts, projection, and its rows."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from billing import facts as facts_module
from billing.catalogue import Catalogue, read_catalogue
from billing.envelope import parse
from billing.errors import InvalidCatalogue
from billing.facts import Fact, Kind, Rank
from billing.ids import CustomerId, EventId, Realm, object_key
from billing.projection.effective import merge_grants
from billing.projection.party import PartyFacts, project
from billing.readers.registry import read_event
from billing.rows import Projection, PurchaseStatus
from ops.samples.scenario import Event
from ops.samples.worlds.account import UserLink
from ops.samples.worlds.world import World

Facts = tuple[Fact, ...]


class LinksUnknownError(Exception):
    """Links by people are no facts in ``billing`` yet."""


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


def links_of(world: World) -> list[Facts]:
    """Return what people stated in a world as facts.

    Raises:
        LinksUnknownError: ``billing`` has no such facts.
    """
    fields, kind = getattr(facts_module, "LinkFields", None), getattr(Kind, "LINK", None)
    stated = [(account, link) for account in world.accounts for link in account.linked]
    if not stated:
        return []
    if fields is None or kind is None:
        raise LinksUnknownError
    return [
        (_link_fact(kind, fields, account.realm, number, link),)
        for number, (account, link) in enumerate(stated)
    ]


def _link_fact(kind: Kind, fields: Any, realm: str, number: int, link: UserLink) -> Fact:
    at = datetime.fromtimestamp(link.at, UTC)
    key = object_key(Realm(realm), f"op_{number}_{link.object_id}")
    target = object_key(Realm(realm), link.object_id)
    is_customer = link.object_id.startswith("cus_")
    return Fact(
        kind=kind,
        object_key=key,
        event_id=EventId(f"op_{number}_{link.object_id}"),
        event_type="link",
        created_at=at,
        rank=Rank.CREATED,
        fields=fields(target=link.object_id, user_id=link.user, since=at),
        before=None,
        customer_id=CustomerId(link.object_id) if is_customer else None,
        mentions=(key, target),
    )


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
