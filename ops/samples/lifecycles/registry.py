"""Named lifecycles: worlds of one user, each with the state it must end in.

The name, shape, seed and ``now`` determine a lifecycle. It ends at ``now``, so that periods and
grace are right when it is sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles import purchases, subscriptions
from ops.samples.lifecycles.expected import Expected, expected_end
from ops.samples.scenario import Event
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.releases import ApiRelease


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Events in causal order, and the end that they lead to in any order."""

    name: str
    shape: Shape
    seed: str
    user_id: str
    account: StripeAccount = field(compare=False, repr=False)
    events: tuple[Event, ...]

    @property
    def expected(self) -> Expected:
        """The end, from the truth of the account."""
        return expected_end(self.account, self.user_id)


def scenarios_in(shape: Shape) -> tuple[str, ...]:
    """Return the lifecycles of a shape; the oldest had neither checkouts nor disputes."""
    return tuple(_ANCIENT if shape is Shape.ANCIENT else SCENARIOS)


def compose(
    name: str, *, shape: Shape, seed: str, now: int, user_id: str | None = None
) -> Lifecycle:
    """Generate a lifecycle that ends ``now``; the same arguments give the same bytes.

    Raises:
        LookupError: the shape has no such lifecycle; naming those it has.
    """
    known = scenarios_in(shape)
    if name not in known:
        raise LookupError(
            f"no scenario {name!r} in the {shape} shape: use one of {', '.join(known)}"
        )
    account = new_account(shape, at=now - seconds_of(name, shape))
    account.random.seed(f"{shape}/{name}/{seed}")
    return play(name, account, shape=shape, seed=seed, user_id=user_id or account.id("usr", 10))


def new_account(shape: Shape, *, at: int) -> StripeAccount:
    """Return an account without objects, whose events have this shape."""
    return StripeAccount(release=ApiRelease(shape.api_version), at=at)


@cache
def seconds_of(name: str, shape: Shape) -> int:
    """Return the seconds from the start of a lifecycle to its last event."""
    account = new_account(shape, at=0)
    SCENARIOS[name](account, "usr")
    return account.events[-1].created


def play(name: str, account: StripeAccount, *, shape: Shape, seed: str, user_id: str) -> Lifecycle:
    """Play a lifecycle on an account, from its time on."""
    SCENARIOS[name](account, user_id)
    return Lifecycle(
        name=name,
        shape=shape,
        seed=seed,
        user_id=user_id,
        account=account,
        events=tuple(account.events),
    )


SCENARIOS: Mapping[str, Callable[[StripeAccount, str], None]] = {
    record.__name__: record
    for record in (
        subscriptions.first_paid,
        subscriptions.renewal,
        subscriptions.trial_active,
        subscriptions.cancel_at_period_end,
        subscriptions.past_due_recovered,
        subscriptions.upgrade,
        subscriptions.same_second,
        subscriptions.entitlement_summary,
        purchases.paid_checkout,
        purchases.onetime,
        purchases.refund_full,
        purchases.refund_partial,
        purchases.dispute_lost,
        purchases.dispute_won,
        purchases.async_payment,
        purchases.checkout_expired,
    )
}
"""Every lifecycle by its name on the command line."""

_ANCIENT = ("first_paid", "renewal", "cancel_at_period_end", "past_due_recovered")
