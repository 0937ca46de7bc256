"""Compare the tables of a running system with the true end of a world."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.ids import PartyId
from ops.samples.worlds.truth.shop import merged
from ops.samples.worlds.world import World, at_moment
from tests.worlds.adapter import Ending
from tests.worlds.compare import rows_against

_ENTITLEMENTS: Final = (
    "SELECT realm, user_id, source, plan_code, entitlements, active,"
    " extract(epoch FROM expires_at)::bigint AS expires_at,"
    " active AND (expires_at IS NULL OR expires_at > now()) AS in_force"
    " FROM user_entitlements WHERE NOT party = ANY(:parties)"
)
_EFFECTIVE: Final = (
    "SELECT user_id, feature, value FROM effective_entitlements WHERE user_id = ANY(:users)"
)
_PAYMENTS: Final = (
    "SELECT realm, payment_ref, user_id, amount_minor, amount_refunded_minor, currency,"
    " dispute_status, extract(epoch FROM occurred_at)::bigint AS occurred_at"
    " FROM payments WHERE amount_minor > 0 AND NOT party = ANY(:parties)"
)
_SUBSCRIPTIONS: Final = (
    "SELECT realm, stripe_subscription_id, status FROM subscriptions"
    " WHERE NOT party = ANY(:parties)"
)
_PURCHASES: Final = (
    "SELECT realm, line, plan_code, quantity FROM purchases"
    " WHERE status = 'paid' AND line <> '' AND NOT party = ANY(:parties)"
)
_PARTIES: Final = (
    "SELECT waiting OR EXISTS (SELECT FROM archive_notes AS note"
    " WHERE note.party = parties.party AND kind = 'candidates') AS waiting, unknown_prices"
    " FROM parties WHERE NOT party = ANY(:parties)"
)
_BOOKED: Final = (
    "SELECT realm, payment_ref, user_id, currency, sum(amount_minor)::bigint AS booked"
    " FROM payment_events WHERE NOT payment_ref = ANY(:payments)"
    " GROUP BY 1, 2, 3, 4 HAVING sum(amount_minor) <> 0"
)
_BOOKED_BY_KIND: Final = (
    "SELECT kind, currency, sum(amount_minor)::bigint AS booked"
    " FROM payment_events WHERE NOT payment_ref = ANY(:payments) GROUP BY 1, 2"
)
_AUDITED: Final = (
    "SELECT before, after FROM audit_logs"
    " WHERE starts_with(action, 'entitlement.') AND user_id = ANY(:users) ORDER BY id"
)
_DOUBLED: Final = (
    "SELECT event_id, action, target_id, user_id FROM audit_logs"
    " WHERE event_id IS NOT NULL AND NOT starts_with(action, 'payment.')"
    " GROUP BY 1, 2, 3, 4, origin, before, after HAVING count(*) > 1"
)
_UNSETTLED: Final = (
    "SELECT event_id FROM dead_letters WHERE event_id = ANY(:ids)"
    " UNION SELECT id FROM unnest(CAST(:ids AS text[])) AS id"
    " WHERE NOT EXISTS (SELECT FROM stripe_events WHERE stripe_events.id = id.id)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRows:
    """The content of the tables before a world comes; a change of plans changes that, too."""

    parties: list[str]
    payments: list[str]
    doubled: frozenset[str]


def earlier_rows(connection: Connection) -> EarlierRows:
    """Return the parties and payments that the tables know now."""
    return EarlierRows(
        parties=[*connection.scalars(text("SELECT party FROM parties"))],
        payments=[*connection.scalars(text("SELECT DISTINCT payment_ref FROM payment_events"))],
        doubled=frozenset(_doubled(connection)),
    )


def parties_since(connection: Connection, earlier: EarlierRows) -> list[PartyId]:
    """Return the parties that came since."""
    query = text("SELECT party FROM parties WHERE NOT party = ANY(:parties) ORDER BY party")
    return [PartyId(party) for party in connection.scalars(query, {"parties": earlier.parties})]


def table_differences(connection: Connection, world: World, earlier: EarlierRows) -> list[str]:
    """Return a sentence for each difference between the tables and the truth at this moment.

    ``connection`` must be in one snapshot.

    Raises:
        AmbiguousWorldError: the rules leave open how the world stands at this moment.
    """
    now = connection.execute(text("SELECT extract(epoch FROM now())::bigint")).scalar_one()
    true = at_moment(world, now)
    tables = _Tables(connection, earlier, true)
    return [
        *_unsettled(connection, world),
        *rows_against(true, tables.ending()),
        *_effective(true, tables),
        *_booked(true, tables),
        *_audited(tables),
        *sorted({*_doubled(connection)} - earlier.doubled),
    ]


class _Tables:
    """The rows of a world."""

    def __init__(self, connection: Connection, earlier: EarlierRows, world: World) -> None:
        self._connection = connection
        self._values = {"parties": earlier.parties, "payments": earlier.payments}
        granted = {grant.user for end in world.ends for grant in end.grants}
        holding = {row["user_id"] for row in self.read(_ENTITLEMENTS)}
        self._values["users"] = sorted({*granted, *holding, *world.plan.users})

    def read(self, query: str) -> list[Mapping[str, Any]]:
        """Return the rows of a query about this world."""
        asked = {name: value for name, value in self._values.items() if f":{name}" in query}
        return [dict(row) for row in self._connection.execute(text(query), asked).mappings()]

    def ending(self) -> Ending:
        """Return the rows in the terms in which a world states its end."""
        parties = self.read(_PARTIES)
        return Ending(
            features={},
            grants={
                (row["realm"], row["user_id"], row["source"], row["plan_code"]): (
                    row["entitlements"],
                    row["expires_at"],
                )
                for row in self.read(_ENTITLEMENTS)
                if row["in_force"]
            },
            money={
                (row["realm"], row["payment_ref"]): (
                    row["user_id"],
                    row["amount_minor"],
                    row["amount_refunded_minor"],
                    row["currency"],
                    row["dispute_status"],
                    row["occurred_at"],
                )
                for row in self.read(_PAYMENTS)
            },
            statuses={
                (row["realm"], row["stripe_subscription_id"]): row["status"]
                for row in self.read(_SUBSCRIPTIONS)
            },
            unsold=frozenset(price for row in parties for price in row["unknown_prices"]),
            waits=any(row["waiting"] for row in parties),
            lines={
                (row["realm"], row["line"]): (row["plan_code"], row["quantity"])
                for row in self.read(_PURCHASES)
            },
        )


def _unsettled(connection: Connection, world: World) -> Iterator[str]:
    ids = [event.id for event in world.events]
    if left := connection.scalars(text(_UNSETTLED), {"ids": ids}).all():
        yield f"{len(left)} events are not settled or are dead letters: {left[:3]}"


def _effective(world: World, tables: _Tables) -> Iterator[str]:
    """Compare the view, which merges what a user has in every realm."""
    got: dict[str, dict[str, Any]] = {}
    for row in tables.read(_EFFECTIVE):
        got.setdefault(row["user_id"], {})[row["feature"]] = row["value"]
    grants = [grant for end in world.ends for grant in end.grants]
    for user in sorted({*got, *(grant.user for grant in grants)}):
        true = merged(grant for grant in grants if grant.user == user)
        if got.get(user, {}) != true:
            yield f"{user} may {got.get(user, {})} by effective_entitlements, not {true}"


def _booked(world: World, tables: _Tables) -> Iterator[str]:
    """Compare the sums of payment_events by payment and user, and what came and went in all."""
    money = [(end.realm, row) for end in world.ends for row in end.money]
    true = {
        (realm, row.ref, row.user, row.currency): row.received - row.refunded
        for realm, row in money
        if row.received != row.refunded
    }
    got = {
        (row["realm"], row["payment_ref"], row["user_id"], row["currency"]): row["booked"]
        for row in tables.read(_BOOKED)
    }
    for key in sorted({*true, *got}, key=str):
        if true.get(key) != got.get(key):
            yield f"payment_events of {key} add up to {got.get(key)}, not {true.get(key)}"
    came, went = Counter[str](), Counter[str]()
    for _, row in money:
        came[row.currency] += row.received
        went[row.currency] -= row.refunded
    for each in tables.read(_BOOKED_BY_KIND):
        if each["kind"] == "received":
            came[each["currency"]] -= each["booked"]
        elif each["kind"] != "moved":
            went[each["currency"]] -= each["booked"]
    if any(came.values()) or any(went.values()):
        yield f"payment_events lack {dict(came)} received and {dict(went)} refunded"


def _audited(tables: _Tables) -> Iterator[str]:
    """Compare each grant with what the audit tells, entry by entry; a rename has two names."""
    audited: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for entry in tables.read(_AUDITED):
        if entry["before"]:
            audited.pop(_grant_key(entry["before"]), None)
        if entry["after"]:
            audited[_grant_key(entry["after"])] = entry["after"]
    for row in tables.read(_ENTITLEMENTS):
        said = audited.pop(_grant_key(row), {})
        if bool(said.get("active")) != row["active"]:
            yield f"{_grant_key(row)} is active: {row['active']}, but the audit ends with {said}"
        elif row["active"] and said["entitlements"] != row["entitlements"]:
            yield f"{_grant_key(row)} has {row['entitlements']}, but the audit ends with {said}"
    for key, said in audited.items():
        if said["active"]:
            yield f"{key} has no row, but the audit ends with {said}"


def _grant_key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (row["realm"], row["user_id"], row["source"], row["plan_code"])


def _doubled(connection: Connection) -> Iterator[str]:
    """Yield entries of the audit that are there twice; the sums judge those of money."""
    for row in connection.execute(text(_DOUBLED)).mappings():
        yield f"the audit says twice: {dict(row)}"
