from itertools import permutations

from billing.ids import ObjectKey, PartyId
from runtime.ledger.parties import Grouping, PartyAssignment

CUS, OTHER = ObjectKey("test:cus_1"), ObjectKey("test:cus_2")
PI, CH, SUB = ObjectKey("test:pi_1"), ObjectKey("test:ch_1"), ObjectKey("test:sub_1")


def assignment(party: str, *absorbed: str) -> PartyAssignment:
    return PartyAssignment(party=PartyId(party), absorbed=tuple(map(PartyId, absorbed)))


def test_a_party_is_named_by_its_customer() -> None:
    assert Grouping({}).assign_party([PI, CUS, CH]) == assignment("test:cus_1")


def test_without_a_customer_it_is_named_by_the_first_of_its_objects() -> None:
    assert Grouping({}).assign_party([PI, CH]) == assignment("test:ch_1")


def test_what_is_known_stays_where_it_is() -> None:
    grouping = Grouping({PI: PartyId(CH)})

    assert grouping.assign_party([PI, SUB]) == assignment("test:ch_1")
    assert grouping.memberships() == {PI: PartyId(CH), SUB: PartyId(CH)}
    assert grouping.ends() == {}


def test_a_customer_that_becomes_known_gives_the_party_its_name() -> None:
    grouping = Grouping({PI: PartyId(PI)})

    assert grouping.assign_party([PI, CUS]) == assignment("test:cus_1", "test:pi_1")
    assert grouping.memberships() == {PI: PartyId(CUS), CUS: PartyId(CUS)}
    assert grouping.ends() == {PartyId(PI): PartyId(CUS)}


def test_an_event_that_connects_parties_joins_them() -> None:
    grouping = Grouping({PI: PartyId(PI), SUB: PartyId(CUS), OTHER: PartyId(OTHER)})

    assert grouping.assign_party([PI, SUB, OTHER]) == assignment(
        "test:cus_1", "test:cus_2", "test:pi_1"
    )
    assert set(grouping.memberships().values()) == {PartyId(CUS)}


def test_later_events_of_the_batch_land_where_the_earlier_joined() -> None:
    grouping = Grouping({PI: PartyId(PI)})
    grouping.assign_party([PI, CH])
    grouping.assign_party([CH, OTHER])
    grouping.assign_party([OTHER, CUS])

    assert grouping.assign_party([PI]) == assignment("test:cus_1")
    assert grouping.ends() == dict.fromkeys(map(PartyId, (PI, OTHER)), PartyId(CUS))


def test_every_party_on_the_way_is_to_be_locked() -> None:
    grouping = Grouping({PI: PartyId(PI)})
    grouping.assign_party([CH, OTHER])
    grouping.assign_party([PI, CH, CUS])

    assert grouping.parties() == set(map(PartyId, (PI, OTHER, CUS)))


def test_the_name_does_not_depend_on_the_order_once_the_customer_is_known() -> None:
    events = [[PI, CH], [CH, CUS], [SUB, CUS], [SUB, OTHER]]
    ends = set()
    for arranged in permutations(events):
        grouping = Grouping({})
        for mentions in arranged:
            grouping.assign_party(mentions)
        ends.add(frozenset(grouping.memberships().items()))

    assert len(ends) == 1
