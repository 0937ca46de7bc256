"""The objects of a realm: each is its newest state, and none is left of one without facts."""

from billing.facts import Fact, Kind
from billing.ids import Realm
from billing.objects.ordering import order_facts
from billing.objects.store import RealmObjects
from tests.billing.fact_builders import subscription

CREATED = subscription("active", 0, event="evt_a")
SAME_SECOND = subscription("unpaid", 0, event="evt_b")
KEY = CREATED.object_key
NAME = (Kind.SUBSCRIPTION, KEY)


def put(objects: RealmObjects, *facts: Fact) -> None:
    objects.put(Kind.SUBSCRIPTION, KEY, order_facts(facts))


def test_an_object_is_undecided_as_long_as_its_order_is_a_guess() -> None:
    objects = RealmObjects(realm=Realm("test"))

    put(objects, CREATED, SAME_SECOND)
    assert objects.undecided == {NAME}
    assert objects.customers_named == {NAME: {"cus_1"}}

    put(objects, CREATED, SAME_SECOND, subscription("active", 5))
    assert objects.undecided == set()
    assert objects.subscriptions["sub_1"].newest.fields.status == "active"


def test_nothing_is_left_of_an_object_that_is_dropped() -> None:
    objects = RealmObjects(realm=Realm("test"))
    put(objects, CREATED, SAME_SECOND)

    objects.drop(Kind.SUBSCRIPTION, KEY)

    assert objects == RealmObjects(realm=Realm("test"))


def test_an_object_that_was_never_there_can_be_dropped() -> None:
    objects = RealmObjects(realm=Realm("test"))

    objects.drop(Kind.SUBSCRIPTION, KEY)

    assert objects == RealmObjects(realm=Realm("test"))
