"""Named lifecycles: actions of customers as events, with the state they must end in.

The name, shape, seed and ``now`` determine a lifecycle. It ends at ``now``, so that periods and
grace are right when it is sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles import purchases as purchase_lifecycles
from ops.samples.lifecycles import subscriptions as subscription_lifecycles
from ops.samples.lifecycles.expected import Expected
from ops.samples.scenario import Event, ObjectBuilder, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Events in causal order, and the end that they lead to in any order."""

    name: str
    shape: Shape
    seed: str
    events: tuple[Event, ...]
    expected: Expected


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
    builder = ObjectBuilder(shape, f"{name}/{seed}")
    scenario = Scenario(builder, user_id=user_id or builder.id("usr", 10))
    expected = SCENARIOS[name](scenario, now)
    return Lifecycle(
        name=name, shape=shape, seed=seed, events=tuple(scenario.events), expected=expected
    )


SCENARIOS: Mapping[str, Callable[[Scenario, int], Expected]] = {
    record.__name__: record
    for record in (
        subscription_lifecycles.first_paid,
        subscription_lifecycles.renewal,
        subscription_lifecycles.trial_active,
        subscription_lifecycles.cancel_at_period_end,
        subscription_lifecycles.past_due_recovered,
        subscription_lifecycles.upgrade,
        subscription_lifecycles.same_second,
        subscription_lifecycles.entitlement_summary,
        purchase_lifecycles.paid_checkout,
        purchase_lifecycles.onetime,
        purchase_lifecycles.refund_full,
        purchase_lifecycles.refund_partial,
        purchase_lifecycles.dispute_lost,
        purchase_lifecycles.dispute_won,
        purchase_lifecycles.async_payment,
        purchase_lifecycles.checkout_expired,
    )
}
"""Every lifecycle by its name on the command line."""

_ANCIENT = ("first_paid", "renewal", "cancel_at_period_end", "past_due_recovered")
