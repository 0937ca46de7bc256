"""Named lifecycles: what customers do, told as events, with the state they must end in.

A lifecycle follows from its name, shape and seed and from ``now``, at which it ends, so that
what depends on time (a period, a grace) is as it should be when it is sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles import purchases as purchase_lifecycles
from ops.samples.lifecycles import subscriptions as subscription_lifecycles
from ops.samples.lifecycles.expected import Expected
from ops.samples.scenario import Event, Pen, Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Events in causal order, and the end they lead to in any order."""

    name: str
    shape: Shape
    seed: str
    events: tuple[Event, ...]
    expected: Expected


class UnknownScenario(LookupError):
    """There is no lifecycle of that name in that shape."""

    def __init__(self, name: str, shape: Shape) -> None:
        known = ", ".join(scenarios_in(shape))
        super().__init__(f"no scenario {name!r} in the {shape} shape; there are: {known}")


def scenarios_in(shape: Shape) -> tuple[str, ...]:
    """The lifecycles that can be told in a shape; the oldest knew neither checkout nor dispute."""
    return tuple(_ANCIENT if shape is Shape.ANCIENT else SCENARIOS)


def compose(
    name: str, *, shape: Shape, seed: str, now: int, user_id: str | None = None
) -> Lifecycle:
    """Tell a lifecycle that ends ``now``; the same arguments give the same bytes.

    Raises:
        UnknownScenario: naming those there are.
    """
    if name not in scenarios_in(shape):
        raise UnknownScenario(name, shape)
    pen = Pen(shape, f"{name}/{seed}")
    story = Story(pen, user_id=user_id or pen.id("usr", 10))
    expected = SCENARIOS[name](story, now)
    return Lifecycle(
        name=name, shape=shape, seed=seed, events=tuple(story.events), expected=expected
    )


SCENARIOS: Mapping[str, Callable[[Story, int], Expected]] = {
    tell.__name__: tell
    for tell in (
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
"""Every lifecycle by its name, which is what people write on a command line."""

_ANCIENT = ("first_paid", "renewal", "cancel_at_period_end", "past_due_recovered")
