"""The order of what was seen of one object, decided from the set of facts alone.

Stripe promises no order and dates events to the second. Facts sort by that second. Inside one
second they form the chain with the most satisfied links: B follows A when undoing B's
``previous_attributes`` gives A. What the chain leaves open is decided by event type, then in
favour of the snapshot that grants less, then of the lower event id; a state that hung on those
last two was guessed. Arrival order is never looked at, so it can change nothing. What Stripe's API
showed of the object is one more observation, dated by Stripe.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.facts import (
    ChargeFields,
    CheckoutSessionFields,
    CustomerFields,
    DisputeFields,
    EntitlementSummaryFields,
    Fact,
    Fields,
    InvoiceFields,
    InvoicePaymentFields,
    Look,
    PaymentIntentFields,
    Rank,
    RefundFields,
    SubscriptionFields,
)
from billing.statuses import (
    DISPUTE_LOST,
    DISPUTES_WITHOUT_CONSEQUENCE,
    PAST_DUE,
    SESSION_GRANTS,
    SUBSCRIPTION_ENDED,
    SUBSCRIPTION_GRANTS,
)

# Every order of nine facts is tried (41,000 steps); a second with more is beyond what Stripe does.
MOST_TRIED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Facts of one object from oldest to newest, and the one that is its state.

    ``newest`` is the last fact, or the last final one where the object has come to an end.
    """

    facts: tuple[Fact, ...]
    newest: Fact
    guessed: bool


def order(facts: Iterable[Fact]) -> History:
    """Any arrangement of the same facts, and any repetition, gives the same history."""
    known = {fact.event_id: fact for fact in facts}
    if len(known) == 1:  # most objects that are read were seen once
        only = next(iter(known.values()))
        if only.look is None:
            return History(facts=(only,), newest=only, guessed=False)
    looks = [_as_seen_later(fact, fact.look) for fact in known.values() if fact.look]
    ordered, guessed = _arrange([*known.values(), *looks])
    ends = [fact for fact in ordered if _is_final(fact)]
    if ends:
        ends, guessed = _arrange(ends)
    return History(facts=tuple(ordered), newest=(ends or ordered)[-1], guessed=guessed)


def _as_seen_later(fact: Fact, look: Look) -> Fact:
    """What was seen of the fact's object when Stripe's API was asked because of it."""
    return replace(
        fact,
        event_type="",
        created_at=look.at,
        rank=Rank.UPDATED,
        fields=look.fields,
        before=None,
        look=None,
    )


def _is_final(fact: Fact) -> bool:
    fields = fact.fields
    return isinstance(fields, SubscriptionFields) and fields.status in SUBSCRIPTION_ENDED


def _arrange(facts: Iterable[Fact]) -> tuple[list[Fact], bool]:
    seconds: dict[datetime, list[Fact]] = {}
    for fact in facts:
        seconds.setdefault(fact.created_at.replace(microsecond=0), []).append(fact)
    ordered: list[Fact] = []
    guessed = False
    for second in sorted(seconds):
        chain, guessed = _chain(ordered[-1].fields if ordered else None, seconds[second])
        ordered += chain
    return ordered, guessed


def _chain(start: Fields | None, facts: list[Fact]) -> tuple[list[Fact], bool]:
    if len(facts) == 1:
        return facts, False
    facts.sort(key=lambda fact: fact.event_id, reverse=True)
    facts.sort(key=lambda fact: (fact.rank, restraint(fact.fields)))
    if all(fact.before is None for fact in facts):  # nothing links them, as is usual
        return facts, _differ(facts, facts[-1])
    return _try_all(start, facts) if len(facts) <= MOST_TRIED else _follow(start, facts)


def _links(state: Fields | None, fact: Fact) -> bool:
    return state is not None and fact.before == state


def _try_all(start: Fields | None, facts: Sequence[Fact]) -> tuple[list[Fact], bool]:
    """The chain with the most links; among equals the one whose end weighs most."""
    scores = _scores(start, facts)
    whole = (1 << len(facts)) - 1
    possible = [i for i, score in enumerate(scores[whole]) if score == max(scores[whole])]
    last = facts[possible[-1]]
    guessed = _differ((facts[i] for i in possible), last)
    return [facts[i] for i in _backwards(scores, facts, whole, possible[-1])], guessed


def _differ(possible: Iterable[Fact], last: Fact) -> bool:
    """Whether it matters which of the facts that could as well be the last one is."""
    return any(fact.fields != last.fields for fact in possible if fact.rank == last.rank)


def _scores(start: Fields | None, facts: Sequence[Fact]) -> list[list[int]]:
    """For every subset and every last fact in it: the most links its facts can form."""
    count = len(facts)
    follows = [[int(_links(a.fields, b)) for b in facts] for a in facts]
    scores = [[-1] * count for _ in range(1 << count)]
    for i, fact in enumerate(facts):
        scores[1 << i][i] = int(_links(start, fact))
    for subset in range(1, 1 << count):
        for last, score in enumerate(scores[subset]):
            if score >= 0:
                _extend(scores, subset, score, follows[last])
    return scores


def _extend(scores: list[list[int]], subset: int, score: int, follows: Sequence[int]) -> None:
    for following, gained in enumerate(follows):
        bit = 1 << following
        if not subset & bit:
            row = scores[subset | bit]
            row[following] = max(row[following], score + gained)


def _backwards(scores: list[list[int]], facts: Sequence[Fact], subset: int, last: int) -> list[int]:
    chain = [last]
    while rest := subset & ~(1 << last):
        wanted = scores[subset][last]
        last = max(
            i
            for i, score in enumerate(scores[rest])
            if score >= 0 and score + _links(facts[i].fields, facts[last]) == wanted
        )
        subset = rest
        chain.append(last)
    return chain[::-1]


def _follow(start: Fields | None, facts: list[Fact]) -> tuple[list[Fact], bool]:
    """Take whatever follows the state reached, lightest first; begin anew where nothing does."""
    rest, chain, state, links = list(facts), [], start, 0
    while rest:
        following = next((fact for fact in rest if _links(state, fact)), None)
        links += following is not None
        following = following or _opening(rest)
        rest.remove(following)
        chain.append(following)
        state = following.fields
    ends = {repr(fact.fields) for fact in facts if fact.rank == chain[-1].rank}
    return chain, links < len(facts) and len(ends) > 1


def _opening(rest: Sequence[Fact]) -> Fact:
    """A fact that follows none of the others, else the lightest."""
    return next(
        (fact for fact in rest if not any(_links(other.fields, fact) for other in rest)), rest[0]
    )


Restraint = tuple[int, ...]


def restraint(fields: Fields) -> Restraint:
    """Higher where the snapshot grants less or says that less money stayed."""
    match fields:
        case SubscriptionFields():
            return _of_subscription(fields)
        case CheckoutSessionFields():
            return (int(fields.payment_status not in SESSION_GRANTS),)
        case CustomerFields():
            return (int(fields.deleted), int(fields.user_id is None))
        case EntitlementSummaryFields():
            return (-len(fields.lookup_keys),)
        case _:
            return _of_money(fields)


def _of_subscription(fields: SubscriptionFields) -> Restraint:
    status = 0 if fields.status in SUBSCRIPTION_GRANTS else 1 if fields.status == PAST_DUE else 2
    ending = int(fields.cancel_at is not None or fields.cancel_at_period_end)
    return (status, ending, -len(fields.items), -sum(item.quantity for item in fields.items))


def _of_money(
    fields: PaymentIntentFields
    | ChargeFields
    | RefundFields
    | DisputeFields
    | InvoiceFields
    | InvoicePaymentFields,
) -> Restraint:
    match fields:
        case PaymentIntentFields():
            return (int(fields.status != "succeeded"), -fields.amount_received)
        case ChargeFields():
            return (int(fields.status != "succeeded"), fields.amount_refunded)
        case RefundFields():
            return (int(fields.status == "succeeded"),)
        case DisputeFields():
            return (_of_dispute(fields.status),)
        case _:
            return (-fields.amount_paid,)


def _of_dispute(status: str) -> int:
    if status == DISPUTE_LOST:
        return 2
    return 0 if status in DISPUTES_WITHOUT_CONSEQUENCE else 1
