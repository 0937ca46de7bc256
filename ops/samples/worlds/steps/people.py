"""Steps of customers, of their features at Stripe, and of the operator's own people."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ops.samples.worlds.account import PersonGrant, StripeAccount, UserLink
from ops.samples.worlds.records import Customer, FeatureList, Metadata, Noise


def arrive(
    account: StripeAccount, *, metadata: Metadata | None = None, clock: bool = False
) -> Customer:
    """Make a customer; ``clock`` puts it on a test clock."""
    customer = Customer(
        id=account.id("cus", 14),
        created=account.wait(30),
        metadata=metadata or {},
        test_clock=account.id("clock") if clock else None,
    )
    return account.emit("customer.created", customer)


def name_user(account: StripeAccount, customer: Customer, user: str | None) -> Customer:
    """Write a user into the customer's metadata, or clear it."""
    account.wait(60)
    known = account.get(Customer, customer.id).metadata
    key = next((name for name in known if name != "user_id"), "user_id")
    rest = {name: value for name, value in known.items() if name != key}
    metadata = {**rest, key: user} if user else rest
    return account.change("customer.updated", customer, metadata=metadata)


def delete_customer(account: StripeAccount, customer: Customer) -> Customer:
    """Delete a customer, whose subscriptions have ended."""
    account.wait(60)
    return account.emit("customer.deleted", replace(customer, deleted=True))


def list_features(account: StripeAccount, customer: Customer, keys: Iterable[str]) -> FeatureList:
    """Have Stripe state the features that it lists for the customer."""
    account.wait(60)
    listed = FeatureList(customer=customer.id, keys=tuple(keys))
    known = account.records.get(listed.id)
    return account.emit("entitlements.active_entitlement_summary.updated", listed, before=known)


def link_by_hand(account: StripeAccount, object_id: str, user: str) -> None:
    """Have a person state whose an object or a customer is."""
    account.linked.append(UserLink(at=account.wait(60), object_id=object_id, user=user))


def end_link(account: StripeAccount, link: UserLink) -> None:
    """Have a person take a link back."""
    ended = replace(link, ended_at=account.wait(60))
    account.linked[account.linked.index(link)] = ended


def grant_by_hand(
    account: StripeAccount,
    user: str,
    *,
    plan: str | None = None,
    features: Mapping[str, bool | int],
    per_seat: tuple[str, ...] = (),
    later: int = 0,
    lasts: int | None = None,
    everywhere: bool = True,
) -> PersonGrant:
    """Have a person give a plan or features, from later on and for so long, else for good."""
    at = account.wait(60)
    grant = PersonGrant(
        id=account.id("grant"),
        at=at,
        user=user,
        plan=plan,
        features=features,
        per_seat=per_seat,
        starts_at=at + later,
        until=None if lasts is None else at + later + lasts,
        everywhere=everywhere,
    )
    account.granted.append(grant)
    return grant


def end_grant(account: StripeAccount, grant: PersonGrant) -> None:
    """Have a person end a grant."""
    ended = replace(grant, ended_at=account.wait(60))
    account.granted[account.granted.index(grant)] = ended


def make_noise(account: StripeAccount, event_type: str, kind: str) -> None:
    """Send an event that says nothing about access or money."""
    account.wait(7)
    identifier = account.id("obj")
    raw = {"id": identifier, "object": kind, "created": account.at, "livemode": False}
    account.emit(event_type, Noise(id=identifier, raw=raw))
