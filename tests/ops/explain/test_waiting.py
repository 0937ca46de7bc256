"""Sentences about what waits, and what it needs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from billing.catalogue import Catalogue
from billing.rows import NoGrant
from ops.explain.waiting import list_on_purpose, list_waiting
from ops.queries.user_state import PartyNote, UserState


def waiting(candidates: Mapping[str, Sequence[str]], *, waits: bool = True) -> list[str]:
    return list(list_waiting(state_with(party_note(candidates, waits=waits))))


def party_note(
    candidates: Mapping[str, Sequence[str]], *, waits: bool = False, **without_grant: str
) -> PartyNote:
    return PartyNote(
        party="test:cus_1",
        waiting=waits,
        candidates=candidates,
        without_grant=without_grant,
        unknown_prices=(),
        incomplete_summaries=(),
        incomplete_items=(),
        incomplete_lines=(),
        missing_subscriptions=(),
        awaiting_invoice=(),
        without_line_items=(),
    )


def state_with(*notes: PartyNote) -> UserState:
    return UserState(
        user_id="usr_1",
        has_user=True,
        at=datetime(2026, 11, 1, tzinfo=UTC),
        catalogue_version=1,
        catalogue=Catalogue(),
        grants=(),
        effective={},
        subscriptions=(),
        purchases=(),
        payments=(),
        paid_for={},
        revoked={},
        notes=notes,
        newest={},
        without_effect=(),
    )


def test_a_party_that_does_not_wait_is_not_named() -> None:
    assert waiting({}, waits=False) == []


def test_what_names_no_user_asks_for_one() -> None:
    unnamed: list[dict[str, list[str]]] = [{}, {"sub_1": []}]
    for candidates in unnamed:
        (sentence,) = waiting(candidates)
        assert sentence.startswith("Access or money of test:cus_1 names no user yet:")


def test_what_waits_between_users_names_them() -> None:
    (sentence,) = waiting({"sub_2": ["usr_b", "usr_a"], "pi_2": ["usr_b", "usr_a"]})

    assert sentence.startswith("The user of pi_2, sub_2 is usr_b or usr_a, who were all named")
    assert "set metadata.user_id on the customer" in sentence


def test_of_many_sources_the_first_are_named() -> None:
    (sentence,) = waiting({f"pi_{number}": ["usr_b", "usr_a"] for number in range(8)})

    assert "The user of pi_0, pi_1, pi_2, pi_3, pi_4 and 3 more is usr_b or usr_a" in sentence


def test_a_source_without_any_user_stands_beside_one_with_two() -> None:
    sentences = waiting({"pi_1": [], "pi_2": ["usr_b", "usr_a"]})

    assert [each.split()[0] for each in sentences] == ["Access", "The"]


@pytest.mark.parametrize("why", NoGrant)
def test_each_reason_why_something_paid_for_gives_nothing_has_one_sentence(why: NoGrant) -> None:
    state = state_with(party_note({}, the_name=why))

    (sentence,) = [*list_waiting(state), *list_on_purpose(state)]

    assert "the_name" in sentence


def test_a_price_that_one_party_keeps_and_another_lost_is_explained_as_lost() -> None:
    notes = [party_note({}, price_x=why) for why in ("kept_price", "unknown_price")]

    (sentence,) = list_waiting(state_with(*notes))

    assert sentence.startswith("Something was sold at price_x, which is in no plan: add it")


def test_what_is_meant_to_give_nothing_waits_for_nothing() -> None:
    state = state_with(party_note({}, price_free="nothing", ii_fee="part_of_subscription"))

    assert list(list_waiting(state)) == []
    assert list(list_on_purpose(state)) == [
        "ii_fee is a part of its subscription and gives nothing of its own.",
        "price_free gives nothing on purpose (`[catalogue] nothing`).",
    ]
