"""The end of a subscription by money that goes back, as far as the policy says so.

For a subscription the status decides (https://docs.stripe.com/refunds: a refund cancels none), and
by default nothing else. ``[policy] subscription_refund_full``, ``subscription_dispute_open`` and
``subscription_dispute_lost`` may end it when the money of its newest paid period is gone or
disputed. A later paid period restores it.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from billing.catalogue import Policy, PolicyAction
from billing.facts import Line
from billing.objects.charges import DisputeState
from billing.objects.invoices import InvoiceState
from billing.objects.lines import bills_an_item
from billing.objects.observations import EventMoment, newest_of
from billing.projection.invoices import MatchedPayments
from billing.projection.payments import PaymentObjects
from billing.projection.plan_lookup import PlanLookup
from billing.projection.subscription_plans import RunPlans
from billing.projection.subscription_sources import SubscriptionSource

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_BY_POLICY: Final = ", which ends access by policy."


class PeriodEnd(NamedTuple):
    """The moment at which the money of the newest period went, and the reason."""

    moment: EventMoment
    because: str


class _PaidPeriod(NamedTuple):
    """An invoice with money, the lines of entitled items on it, and its linked payments."""

    invoice: InvoiceState
    lines: list[Line]
    payments: list[PaymentObjects]

    @property
    def refs(self) -> tuple[str, ...]:
        return (self.invoice.id, *(payment.ref for payment in self.payments))

    @property
    def ends_at(self) -> tuple[datetime, str]:
        ends = (line.period_end for line in self.lines if line.period_end)
        return max(ends, default=_NEVER), self.invoice.id

    @property
    def total(self) -> int:
        return sum(line.amount - line.discount for line in self.lines)

    def disputes(self) -> Iterator[DisputeState]:
        for payment in self.payments:
            yield from payment.disputes


def end_by_policy(
    source: SubscriptionSource,
    plans: Sequence[RunPlans],
    matched: MatchedPayments,
    lookup: PlanLookup,
) -> PeriodEnd | None:
    """Return the end of access by the money of the newest paid period; None if there is none."""
    policy = lookup.catalogue.policy
    if not money_may_end(policy):
        return None
    newest = _newest_period(source, plans, matched, lookup)
    return _end_of(newest, matched, policy) if newest else None


def money_may_end(policy: Policy) -> bool:
    """Return True if the policy lets money that goes back end a subscription."""
    disputes = (policy.subscription_dispute_open, policy.subscription_dispute_lost)
    return PolicyAction.END in (policy.subscription_refund_full, *disputes)


def newest_paid_period(
    source: SubscriptionSource,
    plans: Sequence[RunPlans],
    matched: MatchedPayments,
    lookup: PlanLookup,
) -> tuple[datetime, str]:
    """Return the end of the newest paid period and its invoice; of none, the earliest time."""
    newest = _newest_period(source, plans, matched, lookup)
    return newest.ends_at if newest else (_NEVER, "")


def _newest_period(
    source: SubscriptionSource,
    plans: Sequence[RunPlans],
    matched: MatchedPayments,
    lookup: PlanLookup,
) -> _PaidPeriod | None:
    periods = _paid_periods(source, _entitled_items(source, plans), matched, lookup)
    return max(periods, key=lambda period: period.ends_at, default=None)


def _entitled_items(source: SubscriptionSource, plans: Sequence[RunPlans]) -> frozenset[str]:
    """Return the ids of the items that were ever for a plan."""
    runs = source.snapshot.item_runs if source.snapshot else ()
    named = (
        run.items[place].id
        for run, run_plans in zip(runs, plans, strict=True)
        for place in run_plans.entitled
    )
    return frozenset(filter(None, named))


def _paid_periods(
    source: SubscriptionSource,
    entitled: frozenset[str],
    matched: MatchedPayments,
    lookup: PlanLookup,
) -> Iterator[_PaidPeriod]:
    """Yield the invoices with money that bill an entitled item; a proration bills no period."""
    for invoice in source.invoices:
        lines = [each for each in invoice.lines.lines if _bills(each, entitled, lookup)]
        period = _PaidPeriod(invoice, lines, _payments(invoice, matched))
        if lines and _has_money(period, matched):
            yield period


def _has_money(period: _PaidPeriod, matched: MatchedPayments) -> bool:
    """Return True if money came and stayed, by its payments, else by the invoice's own word."""
    if period.payments:
        return any(matched.amount_of(ref) for ref in period.refs)
    return bool(period.invoice.money and period.invoice.money.amount)


def _bills(line: Line, entitled: frozenset[str], lookup: PlanLookup) -> bool:
    if line.proration or not bills_an_item(line):
        return False
    return line.subscription_item in entitled or lookup.plan_by_names(line.names) is not None


def _payments(invoice: InvoiceState, matched: MatchedPayments) -> list[PaymentObjects]:
    """Return the payments that are linked to an invoice; an inferred one decides no end."""
    match = matched.matches[invoice.id]
    linked = [] if match.inferred else match.payments
    return [matched.payments[ref] for ref in linked if ref in matched.payments]


def _end_of(period: _PaidPeriod, matched: MatchedPayments, policy: Policy) -> PeriodEnd | None:
    of = f"of the newest period of its subscription (invoice {period.invoice.id})"
    if policy.subscription_dispute_open is PolicyAction.END:
        for dispute in period.disputes():
            if dispute.open:
                return PeriodEnd(
                    dispute.decided_by, f"Dispute {dispute.id} {of} is open{_BY_POLICY}"
                )
    refunded = sum(matched.refunded(ref) for ref in period.refs)
    if 0 < period.total <= refunded and policy.subscription_refund_full is PolicyAction.END:
        because = f"The payment {of} was refunded in full{_BY_POLICY}"
        by = [
            moment for ref in period.refs if ref in matched.back for moment in matched.back[ref].by
        ]
        return PeriodEnd(newest_of(by), because)
    lost = [each for each in period.disputes() if each.lost]
    gone = refunded + sum(map(matched.lost_in_disputes, period.payments))
    if lost and period.total <= gone and policy.subscription_dispute_lost is PolicyAction.END:
        moment = newest_of(dispute.decided_by for dispute in lost)
        return PeriodEnd(moment, f"A dispute {of} was lost{_BY_POLICY}")
    return None
