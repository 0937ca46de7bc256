"""The order of what was seen of one object, decided from the set of facts alone.

Stripe promises no order and dates events to the second. Facts sort by that second. Inside one
second they form the chain with the most satisfied links: B follows A when undoing B's
``previous_attributes`` gives A. What the chain leaves open is decided by event type, then in
favour of the snapshot that grants less, then of the lower event id; a state that hung on those
last two was guessed. Arrival order is never looked at, so it can change nothing. What Stripe's API
showed of the object is one more observation, dated by Stripe.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from billing.facts import Fact, Fields, Rank, SubscriptionFields
from billing.restraint import restraint
from billing.words import SUBSCRIPTION_ENDED

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
    ordered, guessed = _arrange(_observations(known.values()))
    ends = [fact for fact in ordered if _is_final(fact)]
    if ends:
        ends, guessed = _arrange(ends)
    return History(facts=tuple(ordered), newest=(ends or ordered)[-1], guessed=guessed)


def _observations(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Every fact, and what was seen of its object when Stripe's API was asked because of it."""
    for fact in facts:
        yield fact
        if fact.look:
            yield replace(
                fact,
                event_type="",
                created_at=fact.look.at,
                rank=Rank.UPDATED,
                fields=fact.look.fields,
                before=None,
                look=None,
            )


def _is_final(fact: Fact) -> bool:
    fields = fact.fields
    return isinstance(fields, SubscriptionFields) and fields.status in SUBSCRIPTION_ENDED


def _arrange(facts: Iterable[Fact]) -> tuple[list[Fact], bool]:
    ordered: list[Fact] = []
    guessed = False
    for _, second in groupby(sorted(facts, key=_second), key=_second):
        chain, guessed = _chain(ordered[-1].fields if ordered else None, list(second))
        ordered += chain
    return ordered, guessed


def _second(fact: Fact) -> datetime:
    return fact.created_at.replace(microsecond=0)


def _chain(start: Fields | None, facts: list[Fact]) -> tuple[list[Fact], bool]:
    if len(facts) == 1:
        return facts, False
    facts.sort(key=lambda fact: fact.event_id, reverse=True)
    facts.sort(key=lambda fact: (fact.rank, restraint(fact.fields)))
    return _try_all(start, facts) if len(facts) <= MOST_TRIED else _follow(start, facts)


def _links(state: Fields | None, fact: Fact) -> bool:
    return state is not None and fact.before == state


def _try_all(start: Fields | None, facts: Sequence[Fact]) -> tuple[list[Fact], bool]:
    """The chain with the most links; among equals the one whose end weighs most."""
    scores = _scores(start, facts)
    whole = (1 << len(facts)) - 1
    possible = [i for i, score in enumerate(scores[whole]) if score == max(scores[whole])]
    last = facts[possible[-1]]
    guessed = any(facts[i].fields != last.fields for i in possible if facts[i].rank == last.rank)
    return [facts[i] for i in _backwards(scores, facts, whole, possible[-1])], guessed


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
