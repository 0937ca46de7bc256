"""Tell a fault of the surroundings from a bad event: apply events that Paidup makes itself.

A setting of the server, a missing column, a broken trigger or an exhausted sequence fails every
event, and looks like a fault of the first event that meets it. So before such a failure is charged
to an event, built-in events go the same way: they are written in a transaction that is rolled
back. If one of them passes, the fault is the event's. If all of them fail alike, it is not: no
event is charged, and workers wait until a built-in event passes.

The built-in events differ in type and tables, and one has no user. So a fault of one type of event,
of one table or of a rule about users stops only the events that meet it. Both bear an address, a
name and metadata, because nearly every event has search terms, and none may be charged for them.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.engine import Engine

from billing.catalogue import read_catalogue
from runtime.failures.classify import (
    Failure,
    Infrastructure,
    Outdated,
    Permanent,
    Transient,
    Unexpected,
    classify,
    lacks_right,
)
from runtime.failures.dead_letters import write_dead_letters
from runtime.failures.rehearsal import make_delivery, make_draft
from runtime.ledger.catalogues import VersionedCatalogue, newest_version
from runtime.ledger.errors import CatalogueMissing
from runtime.ledger.record import CHECK_DEFERRED, Ledger
from runtime.time_limits import BATCH_LOCK_SECONDS

FAILS_AS_WELL: Final = "a built-in event fails as well"
"""The start of a breaker's reason that is a fault of the surroundings."""

NO_SQLSTATE: Final = "unknown"

_SQLSTATE: Final = re.compile(r"\w+ \(([0-9A-Z]{5})\)")
_PRICE: Final = "price_paidup_canary"
_SEARCHED: Final = {
    "customer_details": {"email": "canary@paidup.invalid", "name": "Paidup Canary"},
}
"""What Stripe puts into a checkout; for search terms, every object is read alike."""
_NOTE: Final = {"paidup": "built-in event"}
_PLANS: Final = read_catalogue(
    {"plans": {"paidup_canary": {"prices": [_PRICE], "features": {"paidup_canary": True}}}}
)


class Canary:
    """Applies built-in events on an engine and leaves no row."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ledger = Ledger(
            engine, livemode="any", accounts=frozenset(), catalogues=BuiltInPlans()
        )

    def fault_alike(self, suspected: Sequence[Failure]) -> Infrastructure | Outdated | None:
        """Return the fault that every event meets, or None if these failures are the events' own.

        A right that any of the built-in events and their dead letter lacks is such a fault, as for
        ``fault``. A lock that keeps them from telling is one, too: nothing is charged unproved.
        After a fault the engine's connections are dropped: a session may be what is broken.
        """
        of_right = any(map(lacks_right, suspected))
        met = [self._failure_of(body) for body in built_in_events()]
        if of_right:
            met.append(self._failure_of_dead_letter())
        for failure in met:
            if isinstance(failure, Infrastructure | Outdated):
                return failure
        unsure = next((each for each in met if isinstance(each, Transient)), None)
        if unsure is not None and (of_right or None not in met):
            return Infrastructure(error_type=unsure.error_type, reason=unsure.reason)
        if None in met:
            return None
        found = [each for each in met if isinstance(each, Permanent | Unexpected)]
        kinds = {failure.error_type for failure in suspected}
        alike = [failure for failure in found if failure.error_type in kinds]
        if not alike:
            return None
        self._engine.dispose()
        return _fault_of_surroundings(alike[0])

    def fault(self, *, of_surroundings: bool) -> Infrastructure | None:
        """Return what keeps events from being applied, or None.

        Without ``of_surroundings`` only a server that is away or cannot write is a fault. Another
        release's schema is none: workers wait for it in their own way.
        """
        of_events = []
        for body in built_in_events():
            failure = self._failure_of(body)
            if isinstance(failure, Infrastructure):
                return failure
            of_events.append(failure)
        failed = [each for each in of_events if isinstance(each, Permanent | Unexpected)]
        if of_surroundings and len(failed) == len(of_events):
            return _fault_of_surroundings(failed[0])
        of_letter = self._failure_of_dead_letter()
        return of_letter if isinstance(of_letter, Infrastructure) else None

    def _failure_of(self, body: bytes) -> Failure | None:
        try:
            self._ledger.rehearse([make_delivery(body)], lock_seconds=BATCH_LOCK_SECONDS)
        except Exception as error:  # noqa: BLE001 - classify sorts them
            return classify(error)
        return None

    def _failure_of_dead_letter(self) -> Failure | None:
        delivery = make_delivery(next(built_in_events()))
        try:
            with self._engine.connect() as connection:
                write_dead_letters(connection, [make_draft(delivery, delivery.key, error="canary")])
                connection.execute(CHECK_DEFERRED)
                connection.rollback()
        except Exception as error:  # noqa: BLE001 - classify sorts them
            return classify(error)
        return None


def concerns_every_event(reason: str) -> bool:
    """Return True if a breaker's reason is a fault of the surroundings."""
    return reason.startswith(FAILS_AS_WELL)


def sqlstate_in(reason: str) -> str:
    """Return PostgreSQL's code in the reason of such a fault, or ``unknown``."""
    found = _SQLSTATE.search(reason)
    return found[1] if found else NO_SQLSTATE


def built_in_events() -> Iterator[bytes]:
    """Yield the bodies of new events, each about objects of its own."""
    yield _event("payment_intent.succeeded", _payment())
    yield _event("customer.subscription.created", _subscription())


class BuiltInPlans:
    """Plans that sell the built-in price, under the version of the plans in force."""

    def current(self, connection: Connection) -> VersionedCatalogue:
        """Return them, or raise ``CatalogueMissing`` as for any event."""
        version = newest_version(connection)
        if version is None:
            raise CatalogueMissing
        return VersionedCatalogue(version=version, catalogue=_PLANS)


def _fault_of_surroundings(failure: Permanent | Unexpected) -> Infrastructure:
    return Infrastructure(
        error_type=failure.error_type,
        reason=f"{FAILS_AS_WELL}: {failure.error_type}: {failure.reason}",
    )


def _event(kind: str, stated: Mapping[str, Any]) -> bytes:
    now = int(datetime.now(UTC).timestamp())
    event = {
        "id": _id("evt"),
        "object": "event",
        "api_version": "2025-03-31.basil",
        "created": now,
        "data": {"object": {"created": now, "livemode": False, **_SEARCHED, **stated}},
        "livemode": False,
        "type": kind,
    }
    return json.dumps(event).encode()


def _payment() -> Mapping[str, Any]:
    return {
        "id": _id("pi"),
        "object": "payment_intent",
        "amount": 100,
        "amount_received": 100,
        "currency": "eur",
        "metadata": {"price_id": _PRICE, **_NOTE},
        "status": "succeeded",
    }


def _subscription() -> Mapping[str, Any]:
    item = {"id": _id("si"), "object": "subscription_item", "quantity": 1, "price": {"id": _PRICE}}
    return {
        "id": _id("sub"),
        "object": "subscription",
        "customer": _id("cus"),
        "items": {"object": "list", "data": [item]},
        "metadata": {"user_id": _id("user"), **_NOTE},
        "status": "active",
    }


def _id(prefix: str) -> str:
    return f"{prefix}_paidup_canary_{token_hex(8)}"
