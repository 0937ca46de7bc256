"""Properties of users in every history of customers, sessions, subscriptions, moves and links."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from dataclasses import fields as members_of
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.facts import Fact
from billing.ids import EventId, ObjectKey
from billing.rows import EntitlementRow, Projection
from tests.billing.fact_builders import (
    checkout,
    customer,
    intent,
    invoice,
    link,
    naming,
    project_facts,
    subscribed,
    subscription,
)

USERS = ["usr_a", "usr_b", "usr_c"]
NAMED = st.sampled_from([None, *USERS])
CUSTOMERS = st.sampled_from(["cus_1", "cus_1", "cus_2"])


@dataclass(frozen=True)
class Source:
    """One thing that was sold, with every object that tells of it, in the order of its facts."""

    id: str
    customer: str
    facts: tuple[Fact, ...]


@st.composite
def subscriptions(draw: st.DrawFn, number: int, seconds: int) -> Source:
    """Draw a subscription with its checkout, its first bill and the payment of that."""
    who, by_checkout, reference = draw(NAMED), draw(NAMED), draw(NAMED)
    sub, bill, paid = f"sub_{number}", f"in_{number}", f"pi_{number}"
    named_customer = draw(CUSTOMERS)
    how = {"customer": named_customer}
    session = subscribed(
        seconds,
        stripe_id=f"cs_{number}",
        subscription=sub,
        invoice=bill,
        user_id=by_checkout,
        client_reference_id=reference,
        how=how,
    )
    described = [
        subscription("active", seconds, user=who, stripe_id=sub, customer=named_customer),
        invoice(
            seconds, stripe_id=bill, subscription=sub, payment_refs=(paid,), user_id=who, how=how
        ),
        intent(seconds=seconds, stripe_id=paid, how=how),
    ]
    begun = [session] if draw(st.booleans()) else []
    return Source(sub, named_customer, (*described, *begun))


@st.composite
def purchases(draw: st.DrawFn, number: int, seconds: int) -> Source:
    """Draw something bought once: by checkout, by invoice or by a bare payment."""
    who, other = draw(NAMED), draw(NAMED)
    paid, named_customer = f"pi_{number}", draw(CUSTOMERS)
    how = {"customer": named_customer}
    bare: dict[str, Any] = {"stripe_id": paid, "user_id": other, "how": how}
    facts: tuple[Fact, ...]
    match draw(st.sampled_from(["checkout", "invoice", "intent"])):
        case "checkout":
            reference = draw(NAMED)
            session = checkout(
                seconds,
                stripe_id=f"cs_{number}",
                payment_intent=paid,
                user_id=who,
                client_reference_id=reference,
                how=how,
            )
            facts = (session, intent(seconds=seconds, **bare))
        case "invoice":
            bill = invoice(
                seconds,
                stripe_id=f"in_{number}",
                subscription=None,
                payment_refs=(paid,),
                metadata=naming(who),
                how=how,
            )
            facts = (bill, intent(seconds=seconds, **bare))
        case _:
            facts = (intent(seconds=seconds, price_id="price_premium", **bare),)
    return Source(paid, named_customer, facts)


@st.composite
def customer_words(draw: st.DrawFn, number: int, seconds: int) -> Source:
    """Draw the metadata of a customer: its first word about its user, or a move."""
    target, user = draw(CUSTOMERS), draw(st.sampled_from(USERS))
    fact = customer(user, seconds, stripe_id=target)
    return Source(f"word_{number}", target, (fact,))


@st.composite
def worlds(draw: st.DrawFn) -> list[Source]:
    """Draw things sold to few users under two customers, ten seconds apart from one another."""
    kinds: list[Any] = [subscriptions, purchases, purchases, customer_words]
    count = draw(st.integers(1, 7))
    return [draw(draw(st.sampled_from(kinds))(n, 10 * n)) for n in range(count)]


def facts_of(sources: Iterable[Source]) -> list[Fact]:
    """Return the facts of all sources, in order."""
    return [fact for source in sources for fact in source.facts]


def holder_of(projection: Projection, source: str) -> str | None:
    """Return the user who has what a source grants; never two."""
    rows: Iterable[EntitlementRow] = projection.entitlements.values()
    holders = {row.user_id for row in rows if row.source == source and row.active}
    assert len(holders) <= 1
    return next(iter(holders), None)


def payer_of(projection: Projection, source: str) -> str | None:
    """Return the user of a source's money."""
    return projection.payments["test", source.replace("sub_", "pi_")].user_id


def sold(sources: Iterable[Source]) -> list[Source]:
    """Return the sources that are no words about a customer."""
    return [source for source in sources if not source.id.startswith("word_")]


@given(worlds())
def test_access_and_money_of_one_source_have_one_owner(sources: list[Source]) -> None:
    projection = project_facts(facts_of(sources))

    for source in sold(sources):
        if source.id.startswith("sub_") or holder_of(projection, source.id):
            assert holder_of(projection, source.id) == payer_of(projection, source.id)


@given(worlds(), st.sampled_from(USERS), st.sampled_from(["metadata", "link"]))
def test_a_move_takes_all_that_was_the_customers_users_and_nothing_else(
    sources: list[Source], new: str, by: str
) -> None:
    """Move a customer whose metadata names a user, by its metadata or by a person's link."""
    facts = [customer("usr_a", -10), *facts_of(sources)]
    move = link("cus_1", new, 999) if by == "link" else customer(new, 999)
    before, after = project_facts(facts), project_facts(facts, move)
    old = before.customers["test", "cus_1"].user_id

    for source in sold(sources):
        owner = payer_of(before, source.id)
        moves = owner == old and source.customer == "cus_1"
        assert payer_of(after, source.id) == (new if moves else owner)


@given(worlds(), worlds())
def test_no_owner_changes_because_of_what_is_stated_for_others_later(
    sources: list[Source], later: list[Source]
) -> None:
    before = project_facts(facts_of(sources))
    facts = facts_of(_later(source) for source in sold(later))
    after = project_facts(facts_of(sources), facts)

    for source in sold(sources):
        owner = payer_of(before, source.id)
        assert owner is None or payer_of(after, source.id) == owner


def _later(source: Source) -> Source:
    """Return a source whose objects have other names, sold a thousand seconds later."""
    return replace(source, facts=tuple(_renamed(fact) for fact in source.facts))


def _renamed(fact: Fact) -> Fact:
    fields = {
        member.name: _later_name(getattr(fact.fields, member.name))
        for member in members_of(fact.fields)
        if member.name in ("subscription", "invoice", "payment_intent", "payment_refs")
    }
    return replace(
        fact,
        object_key=ObjectKey(f"{fact.object_key}x"),
        event_id=EventId(f"{fact.event_id}x"),
        created_at=fact.created_at + timedelta(seconds=1000),
        fields=replace(fact.fields, **fields),
    )


def _later_name(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(f"{each}x" for each in value)
    return f"{value}x" if value else value


@given(worlds(), st.data())
def test_a_link_of_one_source_changes_the_owner_of_that_alone(
    sources: list[Source], data: st.DataObject
) -> None:
    things = sold(sources)
    if not things:
        return
    linked = data.draw(st.sampled_from(things))
    facts = facts_of(sources)
    said = link(linked.id, "usr_z", 999, customer=linked.customer)
    before, after = project_facts(facts), project_facts(facts, said)

    # A payment buys nothing beside a subscription to the same plan, which then has no holder.
    assert payer_of(after, linked.id) == "usr_z"
    assert holder_of(after, linked.id) in {"usr_z", None}
    for source in things:
        if source is not linked:
            assert payer_of(after, source.id) == payer_of(before, source.id)
