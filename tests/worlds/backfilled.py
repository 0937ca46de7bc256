"""A world as a backfill sees it: what Stripe's lists show at a moment, and the events from then on.

Some ends follow from what was and not from what is. ``history_needed`` names why, in the words of
``docs/rules.md``.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from billing.catalogue import Catalogue
from billing.fetching.observations import ApiObservation
from billing.fetching.record import FetchTarget
from billing.ids import Realm
from billing.projection.plan_lookup import PlanLookup
from billing.readers.registry import read_unasked
from billing.statuses import PAST_DUE
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import Customer, FeatureList, Intent, Noise, Record, Subscription
from ops.samples.worlds.rendering import SHOWN
from ops.samples.worlds.world import World
from tests.stripe.account import FakeStripeAccount
from tests.stripe.state import SUMMARY, moment
from tests.worlds.adapter import Facts

LISTS: Final[Mapping[str, str]] = {
    "customers": "",
    "subscriptions": "&status=all",
    "checkout/sessions": "&expand[]=data.line_items",
    "invoices": "&expand[]=data.payments",
    "payment_intents": "",
    "charges": "",
    "refunds": "",
    "disputes": "",
    "credit_notes": "",
}
"""The lists that a backfill reads, with what it asks for besides."""

_PLAN_KEYS: Final = {"price_id", "plan_code"}
_CUT: Final = ("items", "lines", "line_items")


def observations_at(account: StripeAccount, at: int) -> list[ApiObservation]:
    """Return everything that a backfill of an account reads in one second."""
    return [*_shown(_fake(account), moment(at))]


def seen_at(account: StripeAccount, at: int) -> list[Facts]:
    """Return the facts of everything that a backfill of an account reads in one second."""
    realm = Realm(account.realm)
    return [read_unasked(realm, each) for each in observations_at(account, at)]


def _fake(account: StripeAccount) -> FakeStripeAccount:
    fake, known = FakeStripeAccount(), dict[str, Record]()
    for heard in account.heard:
        if not isinstance(heard.record, Noise):
            fake.keep(heard.record, moment(heard.at))
            known[heard.record.id] = heard.record
    for name, record in account.records.items():
        if known.get(name) != record and not isinstance(record, Noise):
            fake.keep(record, moment(account.at))
    return fake


def _shown(fake: FakeStripeAccount, at: datetime) -> Iterator[ApiObservation]:
    customers, cut = set[str](), []
    for observation in _listed(fake, at):
        yield observation
        raw = json.loads(observation.payload)
        if observation.family == "customer":
            customers.add(raw["id"])
        if any((raw.get(name) or {}).get("has_more") for name in _CUT):
            target = FetchTarget(family=observation.family, stripe_id=observation.object_id)
            cut.append(target)
    features = [FetchTarget(family=SUMMARY, stripe_id=each) for each in sorted(customers)]
    yield from fake.fetch(*features, *cut, at=at)


def _listed(fake: FakeStripeAccount, at: datetime) -> Iterator[ApiObservation]:
    for path, more in LISTS.items():
        after, has_more = "", True
        while has_more:
            status, page = fake.answer(f"/v1/{path}?limit=100{more}{after}", at)
            assert status == 200, page
            for raw in page["data"]:
                yield _observation(raw, at)
            has_more = page["has_more"]
            after = f"&starting_after={page['data'][-1]['id']}" if has_more else ""


def _observation(raw: Mapping[str, str], at: datetime) -> ApiObservation:
    return ApiObservation(
        family=raw["object"],
        object_id=raw["id"],
        asked_at=at,
        api_version=None,
        gone=False,
        payload=json.dumps(raw),
    )


def changes_silently(account: StripeAccount) -> bool:
    """Return True if an object is not as its last event showed it, so since when is unknown."""
    shown = {heard.record.id: heard.record for heard in account.heard}
    return any(shown.get(name) != record for name, record in account.records.items())


def history_needed(world: World, catalogue: Catalogue) -> frozenset[str]:
    """Return why the end of a world does not follow from what Stripe shows now."""
    return frozenset(
        why
        for account in world.accounts
        for why in (
            *_in_the_present(account),
            *_in_changes(account, PlanLookup(catalogue=catalogue)),
        )
    )


def _in_the_present(account: StripeAccount) -> Iterator[str]:
    if any(each.test_clock for each in account.of(Customer)):
        yield "only events tell the time of a test clock"
    if any(len(each.keys) > SHOWN for each in account.of(FeatureList)):
        yield "events cut a list of features"


def _in_changes(account: StripeAccount, lookup: PlanLookup) -> Iterator[str]:
    bare = any(_PLAN_KEYS & each.metadata.keys() for each in account.of(Intent))
    paid = dict[str, list[tuple[StripePrice, int | None]]]()
    for before, after in _changed(account):
        if getattr(before, "metadata", None) != getattr(after, "metadata", None):
            yield "another user was named before"
        if getattr(after, "deleted", False):
            yield "a customer was deleted"
        if isinstance(before, Subscription) and isinstance(after, Subscription):
            if bare and _offers(before) != _offers(after):
                yield "a payment was made beside a subscription that has changed since"
            if after.status == PAST_DUE != before.status:
                paid[after.id] = _sold(before)
            now = _offers(account.get(Subscription, after.id))
            if _offers(before) != now and not all(_is_sold(lookup, each) for each in now):
                yield "an item stands for what it was sold as before"
    held = {name: account.get(Subscription, name) for name in paid}
    if any(now.status == PAST_DUE and paid[name] != _sold(now) for name, now in held.items()):
        yield "grace prolongs what was paid"


def _changed(account: StripeAccount) -> Iterator[tuple[Record, Record]]:
    """Yield each object before and after each change; the last change may have no event."""
    known = dict[str, Record]()
    for record in (*(heard.record for heard in account.heard), *account.records.values()):
        if record.id in known:
            yield known[record.id], record
        known[record.id] = record


def _offers(subscription: Subscription) -> list[StripePrice]:
    return [each.offer for each in subscription.items]


def _is_sold(lookup: PlanLookup, offer: StripePrice) -> bool:
    return lookup.knows((offer.price, offer.lookup_key, offer.product))


def _sold(held: Subscription) -> list[tuple[StripePrice, int | None]]:
    return [(item.offer, item.quantity) for item in held.items]
