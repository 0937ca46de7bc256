"""Objects as Stripe's API shows them, asked for by no event."""

import json
from typing import Any

from billing.fetching.observations import ApiObservation
from billing.ids import Realm, realm_of
from runtime.ledger.observe import ObserveCause, ObservedObject
from tests.runtime.ledger.delivery_builders import NOW
from tests.stripe.state import moment

TEST = realm_of(None, livemode=False)
BY_ADA = ObserveCause(actor="ada", origin="backfill", reason="we adopt Paidup")


def subscription(status: str = "active", **given: Any) -> dict[str, Any]:
    """Return the subscription sub_1 of usr_1 to the premium plan."""
    items = {"data": [{"id": "si_1", "price": {"id": "price_premium_monthly"}, "quantity": 1}]}
    stated = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "items": items}
    return {**stated, "status": status, "metadata": {"user_id": "usr_1"}, **given}


def seen(stated: dict[str, Any], *, at: int = NOW, realm: Realm = TEST) -> ObservedObject:
    """Return an object as the API showed it after the second ``at``."""
    observation = ApiObservation(
        family=stated["object"],
        object_id=stated["id"],
        asked_at=moment(at),
        api_version="2026-10-28.endive",
        gone=False,
        payload=json.dumps(stated),
    )
    return ObservedObject(realm=realm, observation=observation)


def gone(family: str, object_id: str, *, at: int = NOW) -> ObservedObject:
    """Return an object that the API answered with 404 after the second ``at``."""
    observation = ApiObservation(
        family=family,
        object_id=object_id,
        asked_at=moment(at),
        api_version=None,
        gone=True,
        payload=json.dumps({"error": {"code": "resource_missing"}}),
    )
    return ObservedObject(realm=TEST, observation=observation)
