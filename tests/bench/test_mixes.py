import json
from collections import Counter

from bench import mixes
from bench.stub import StubApi


def customer_of(body: bytes) -> object:
    return json.loads(body)["data"]["object"].get("customer")


def test_the_first_mix_has_no_event_twice_and_is_the_same_in_every_run() -> None:
    events = mixes.first(500, "seed")

    assert len(set(events)) == 500
    assert events == mixes.first(500, "seed")
    assert not set(events) & set(mixes.first(500, "another"))


def test_ids_tell_the_second_they_were_made_in_as_stripe_s_do() -> None:
    made = mixes._made_at(1566204936, b"evt", b"0AVIyPmC")

    assert made == b"evt_1F96eK" + b"E0b6fckueS" + b"0AVIyPmC"
    ids = [json.loads(body)["id"] for body in mixes.first(2500, "seed")]
    seconds = [each[:10] for each in ids]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) == 3
    assert len(set(ids)) == 2500
    long_ago = mixes.first(1, "seed", began=mixes.LONG_AGO)
    assert json.loads(long_ago[0])["id"] < ids[0]


def test_an_object_has_one_id_in_all_events() -> None:
    objects = [json.loads(body)["data"]["object"] for body in mixes.first(2000, "seed")]
    intents = {each["id"] for each in objects if each["object"] == "payment_intent"}
    paid_by = {each["payment_intent"] for each in objects if each["object"] == "refund"}

    assert paid_by
    assert paid_by <= intents


def test_the_first_mix_has_every_family_of_events_between_one_and_nine_kilobytes() -> None:
    events = mixes.first(3000, "seed")
    families = {json.loads(body)["type"].split(".")[0] for body in events}
    sizes = [len(body) for body in events]

    assert families == {"checkout", "customer", "invoice", "payment_intent", "charge", "refund"}
    assert 3500 < sum(sizes) / len(sizes) < 5000
    assert max(sizes) < 9000


def test_the_second_mix_repeats_a_fifth_and_has_one_hot_customer_in_fifty() -> None:
    deliveries = mixes.second(5000, "seed")
    distinct = set(deliveries)
    counts = Counter(customer_of(body) for body in distinct)
    hot = [customer for customer, times in counts.items() if customer and times > 60]

    assert 0.17 < 1 - len(distinct) / len(deliveries) < 0.22
    assert 0.01 < len(hot) / len(counts) < 0.04


OLD = (
    mixes.OldCustomers(payments=6, customers=3, every=10),
    mixes.OldCustomers(payments=40, customers=1, every=100),
)


def share_of(old: mixes.OldCustomers, events: list[bytes]) -> float:
    names = [name.decode() for name in old.ids]
    return sum(customer_of(body) in names for body in events) / len(events)


def test_a_tenth_of_the_events_are_of_old_customers_and_a_hundredth_of_a_very_old_one() -> None:
    assert [(each.payments, each.every) for each in mixes.OLD] == [(300, 10), (5000, 100)]

    for events in (mixes.first(2000, "seed", old=OLD), mixes.second(2000, "seed", old=OLD)):
        assert 0.09 < share_of(OLD[0], events) < 0.11
        assert 0.008 < share_of(OLD[1], events) < 0.012


def test_the_other_events_of_a_mix_are_the_same_with_old_customers_and_without() -> None:
    plain, mixed = mixes.first(2000, "seed"), mixes.first(2000, "seed", old=OLD)
    names = {name.decode() for each in OLD for name in each.ids}

    others = [json.loads(body)["type"] for body in mixed if customer_of(body) not in names]
    assert others == [json.loads(body)["type"] for body in plain][: len(others)]
    assert not names & set(map(customer_of, plain))


def test_the_past_of_old_customers_has_all_their_payments_before_every_mix() -> None:
    past = [json.loads(body) for body in mixes.past(OLD)]
    paid = Counter(
        event["data"]["object"]["customer"]
        for event in past
        if event["type"] == "payment_intent.succeeded"
    )
    mixed = [json.loads(body) for body in mixes.first(2000, "seed", old=OLD)]

    assert paid == {name.decode(): each.payments for each in OLD for name in each.ids}
    assert max(event["created"] for event in past) <= mixes.LONG_AGO
    assert not {event["id"] for event in past} & {event["id"] for event in mixed}


def test_old_customers_pay_later_in_a_later_turn() -> None:
    name = OLD[0].ids[0].decode()

    def moments(turn: int) -> list[int]:
        events = mixes.first(2000, f"seed {turn}", old=OLD, turn=turn)
        return [json.loads(body)["created"] for body in events if customer_of(body) == name]

    assert max(moments(0)) < min(moments(1))
    assert max(moments(1)) < min(moments(2))


def test_an_old_customer_has_one_user_and_pays_at_different_minutes() -> None:
    events = [*mixes.past(OLD), *mixes.first(2000, "seed", old=OLD)]
    name = OLD[0].ids[0].decode()
    stated = [json.loads(body)["data"]["object"] for body in events if customer_of(body) == name]
    minutes = [each["created"] // 60 for each in stated if each["object"] == "checkout.session"]

    assert {each["metadata"]["user_id"] for each in stated if each["metadata"]} == {"usr_old_6_0"}
    assert len(set(minutes)) == len(minutes) > OLD[0].payments


def test_the_stub_knows_what_events_carry_and_makes_up_the_rest() -> None:
    events = mixes.first(50, "seed")
    bought = next(json.loads(body)["data"]["object"] for body in events if b'"charge"' in body)
    api = StubApi(events)

    assert api.find(["charges", bought["id"]]) == bought
    assert api.find(["account"])["object"] == "account"
    assert api.find(["products", "prod_x"])["object"] == "product"
    assert api.find(["checkout", "sessions", "cs_1", "line_items"])["data"] == []
