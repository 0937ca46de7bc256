"""The order of the observations of one object, decided by the set of facts alone.

Stripe promises no order and dates events to the second. Facts sort by that second. Inside one
second they form the chain with the most satisfied links: B follows A if B with its
``previous_attributes`` restored equals A. Two events about one change stand side by side, unless
the chain has a link more without that. The event type decides what the chain leaves open. After
that, the snapshot that grants less comes later, then the one with the lower event id. A state that
depends on these last two rules is a guess. The order of arrival is never used. Up to nine facts are
compared in every order; for more, ``trails.py`` finds a chain with as many links.

What Stripe's API showed is one more observation, dated by the second before it was asked. Of the
updates of that second it is the first: each of them may have been made while the request was under
way. Which one is true is then a guess as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    ChargeFields,
    CheckoutSessionFields,
    CreditNoteFields,
    CustomerFields,
    DisputeFields,
    EntitlementSummaryFields,
    Fact,
    Fields,
    GrantFields,
    InvoiceFields,
    InvoicePaymentFields,
    LinkFields,
    PaymentIntentFields,
    RefundFields,
    SubscriptionFields,
)
from billing.objects.trails import order_by_trails
from billing.statuses import (
    CREDIT_NOTE_VOID,
    DISPUTE_LOST,
    DISPUTES_WITHOUT_CONSEQUENCE,
    PAST_DUE,
    SESSION_GRANTS,
    SUBSCRIPTION_ENDED,
    SUBSCRIPTION_GRANTS,
)

# All orders of nine facts take 41,000 steps, and each fact more doubles them.
MAX_EXACT_FACTS = 9

LINK = MAX_EXACT_FACTS + 1
"""The value of one link: more than that of all twins that stand side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHistory:
    """The facts of one object from oldest to newest, and the one that is its state.

    ``newest`` is the last fact, or the last final one if the object has ended.
    """

    facts: tuple[Fact, ...]
    newest: Fact
    guessed: bool


def order_facts(facts: Iterable[Fact]) -> ObjectHistory:
    """Return the history of the facts, the same for every arrangement and repetition of them."""
    known = {fact.event_id: fact for fact in facts}
    if len(known) == 1:  # the usual case
        only = next(iter(known.values()))
        return ObjectHistory(facts=(only,), newest=only, guessed=False)
    ordered, guessed = _arrange(known.values())
    ends = [fact for fact in ordered if _is_final(fact)]
    if ends:
        ends, guessed = _arrange(ends)
    return ObjectHistory(facts=tuple(ordered), newest=(ends or ordered)[-1], guessed=guessed)


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
    facts.sort(key=lambda fact: (fact.rank, not fact.observed, restrictiveness(fact.fields)))
    if all(fact.before is None for fact in facts):  # the usual case: nothing links them
        return facts, _differ(facts, facts[-1])
    if len(facts) <= MAX_EXACT_FACTS:
        return _best_chain(start, facts)
    return order_by_trails(start, facts)


def _links(state: Fields | None, fact: Fact) -> bool:
    return state is not None and fact.before == state


def _are_twins(fact: Fact, other: Fact) -> bool:
    """Return True if two events tell of one change, or of the same change made twice."""
    return (
        fact.before is not None
        and (fact.event_type, fact.before) == (other.event_type, other.before)
        and fact.fields == other.fields
    )


def _gain(fact: Fact, following: Fact) -> int:
    """Return what it is worth that a fact stands right after another."""
    return LINK * _links(fact.fields, following) + _are_twins(fact, following)


def _best_chain(start: Fields | None, facts: Sequence[Fact]) -> tuple[list[Fact], bool]:
    """Return the chain with the most links; of several, the one whose end weighs most."""
    scores = _scores(start, facts)
    whole = (1 << len(facts)) - 1
    possible = [i for i, score in enumerate(scores[whole]) if score == max(scores[whole])]
    last = facts[possible[-1]]
    guessed = _differ((facts[i] for i in possible), last)
    return [facts[i] for i in _trace_back(scores, facts, whole, possible[-1])], guessed


def _differ(possible: Iterable[Fact], last: Fact) -> bool:
    """Return True if the facts that could equally be the last one differ."""
    return any(fact.fields != last.fields for fact in possible if fact.rank == last.rank)


def _scores(start: Fields | None, facts: Sequence[Fact]) -> list[list[int]]:
    """Return, for every subset and every last fact in it, the most that links in it are worth."""
    # Held-Karp over bit masks: scores[subset][last] is the best chain that uses exactly the facts
    # of the subset and ends with fact ``last``; -1 marks ends outside the subset. Each step adds
    # one fact, so n facts cost n * n * 2**n steps instead of n! orders.
    count = len(facts)
    follows = [[_gain(a, b) for b in facts] for a in facts]
    scores = [[-1] * count for _ in range(1 << count)]
    for i, fact in enumerate(facts):
        scores[1 << i][i] = LINK * _links(start, fact)
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


def _trace_back(
    scores: list[list[int]], facts: Sequence[Fact], subset: int, last: int
) -> list[int]:
    chain = [last]
    while rest := subset & ~(1 << last):
        wanted = scores[subset][last]
        last = max(
            i
            for i, score in enumerate(scores[rest])
            if score >= 0 and score + _gain(facts[i], facts[last]) == wanted
        )
        subset = rest
        chain.append(last)
    return chain[::-1]


Restrictiveness = tuple[int, ...]


def restrictiveness(fields: Fields) -> Restrictiveness:
    """Return a value that is higher if the snapshot grants less or states less money."""
    match fields:
        case SubscriptionFields():
            return _of_subscription(fields)
        case CheckoutSessionFields():
            return (int(fields.payment_status not in SESSION_GRANTS),)
        case CustomerFields():
            return (int(fields.deleted), int(not fields.metadata))
        case EntitlementSummaryFields():
            return (-len(fields.lookup_keys),)
        case CreditNoteFields() | LinkFields() | GrantFields():
            return (int(_is_taken_back(fields)),)
        case _:
            return _of_money(fields)


def _is_taken_back(fields: CreditNoteFields | LinkFields | GrantFields) -> bool:
    if isinstance(fields, CreditNoteFields):
        return fields.status == CREDIT_NOTE_VOID
    return fields.ended_at is not None


def _of_subscription(fields: SubscriptionFields) -> Restrictiveness:
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
) -> Restrictiveness:
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
