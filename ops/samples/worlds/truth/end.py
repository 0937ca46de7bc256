"""The true end of a world: who may do what, and whose money came and went."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.records import FeatureList, Subscription
from ops.samples.worlds.rendering import SHOWN
from ops.samples.worlds.truth.evidence import AmbiguousWorldError, Evidence
from ops.samples.worlds.truth.given import given_grants
from ops.samples.worlds.truth.money import Money, money_rows
from ops.samples.worlds.truth.owners import Whose, owner
from ops.samples.worlds.truth.purchases import bought_lines, purchase_grants, unsold_prices
from ops.samples.worlds.truth.shop import Feature, Shop, TrueGrant, merged
from ops.samples.worlds.truth.subscriptions import subscription_grants

STRIPE: Final = "stripe"
"""The plan of what Stripe itself lists."""
EVERYWHERE: Final = "any"
"""The realm of what people give beside every mode and account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of one realm of a world, and the names of the rules that decided it."""

    realm: str
    grants: tuple[TrueGrant, ...]
    money: tuple[Money, ...]
    rules: frozenset[str]
    statuses: Mapping[str, str]
    """The status of every subscription of which a snapshot was heard."""
    unsold: frozenset[str]
    """Prices that were sold and are in no plan."""
    waits: bool
    """True if money or a grant has no user yet."""
    lines: Mapping[str, tuple[str, int]]
    """Plan and quantity by invoice item, of what was bought and not lost."""

    @property
    def features(self) -> Mapping[str, Mapping[str, Feature]]:
        """The features in force, by user."""
        users = sorted({grant.user for grant in self.grants})
        return {
            user: merged(grant for grant in self.grants if grant.user == user) for user in users
        }


def end_of(account: StripeAccount, shop: Shop, now: int) -> End:
    """Return the true end of an account's world at a moment.

    Raises:
        AmbiguousWorldError: the rules leave it open.
    """
    evidence = Evidence(account=account, shop=shop, now=now)
    grants = [
        *subscription_grants(evidence),
        *purchase_grants(evidence),
        *_listed_features(evidence),
        *given_grants(evidence, [each for each in account.granted if not each.everywhere]),
    ]
    money = money_rows(evidence)
    held = evidence.newest(Subscription)
    return End(
        realm=account.realm,
        grants=tuple(grants),
        money=tuple(money),
        statuses={each: record.status for each, record in held.items()},
        unsold=frozenset(unsold_prices(evidence)),
        waits=any(row.user is None for row in money),
        lines=bought_lines(evidence),
        rules=frozenset(evidence.used),
    )


def end_everywhere(accounts: Iterable[StripeAccount], shop: Shop, now: int) -> End:
    """Return the end of what people gave beside every mode and account."""
    accounts = list(accounts)
    evidence = Evidence(
        account=StripeAccount(release=accounts[0].release, at=now), shop=shop, now=now
    )
    given = [each for account in accounts for each in account.granted if each.everywhere]
    return End(
        realm=EVERYWHERE,
        grants=tuple(given_grants(evidence, given)),
        money=(),
        statuses={},
        unsold=frozenset(),
        waits=False,
        lines={},
        rules=frozenset(evidence.used),
    )


def _holder(evidence: Evidence, listed: FeatureList) -> str | None:
    """Return the user of a list of features; two users named between its events leave it open."""
    holders = {
        owner(evidence, Whose(linkable=(), stating=(), customer=listed.customer, at=at))
        for at, _ in evidence.history(FeatureList, listed.id)
    }
    if len(holders) > 1:
        raise AmbiguousWorldError("a second user was named between two lists of features")
    return holders.pop()


def _listed_features(evidence: Evidence) -> list[TrueGrant]:
    """Return what Stripe itself lists; a list that was cut ends nothing."""
    found = []
    for listed in evidence.newest(FeatureList).values():
        keys: set[str] = set()
        for _, each in evidence.history(FeatureList, listed.id):
            shown = each.keys[:SHOWN]
            whole = len(shown) == len(each.keys)
            keys = set(shown) if whole else keys | set(shown)
            if not whole:
                evidence.use("features-cut")
        user = _holder(evidence, listed) if keys else None
        if user:
            evidence.use("features-listed")
            found.append(
                TrueGrant(
                    user=user,
                    source=listed.customer,
                    plan=STRIPE,
                    features=dict.fromkeys(sorted(keys), True),
                )
            )
    return found
