from billing.envelope import parse
from billing.fact_codec import fact_to_json
from billing.readers.registry import read_event
from ops.events.facts_text import describe_fact, read_facts
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose

NOW = 1_795_300_000


def described(scenario: str, kind: str) -> str:
    events = compose(scenario, shape=Shape.NEW, seed="s", now=NOW, user_id="usr_1").events
    body = next(event.body for event in events if event.type == kind)
    return " | ".join(describe_fact(fact_to_json(fact)) for fact in read_event(parse(body)).facts)


def test_a_subscription_is_described_with_its_items_and_times() -> None:
    said = described("upgrade", "customer.subscription.updated")

    assert "status active; items 1 x price_premium_monthly until 2026-12-11 22:26:32Z" in said
    assert "cancel" not in said


def test_money_is_described_in_its_currency() -> None:
    assert "amount received 99.00 USD" in described("onetime", "payment_intent.succeeded")


def test_facts_of_a_body_are_read_before_it_is_applied() -> None:
    event = compose("onetime", shape=Shape.NEW, seed="s", now=NOW).events[0]

    facts, no_facts_reason = read_facts(event.body)

    assert (len(facts), no_facts_reason) == (1, None)


def test_a_body_that_states_nothing_says_why() -> None:
    assert read_facts(b'{"id": "evt_1", "object": "event", "type": "x.y", "created": 1}')[1]
    assert read_facts(b"\xff")[1]
    unreadable = b'{"id": "evt_1", "type": "invoice.paid", "created": 1, "data": {"object": {}}}'
    assert read_facts(unreadable)[1]
