"""The endpoints that lead to ingest, right and wrong."""

from typing import Any

import pytest

from billing.readers.registry import REQUIRED_TYPES
from ops.doctor.findings import State
from ops.doctor.stripe.check_endpoint import (
    CONNECTED,
    COPIES,
    ENDPOINT,
    TYPES,
    VERSION,
    check_endpoints,
)
from ops.doctor.stripe.destinations import EventDestination
from tests.ops.doctor.stripe.fake_endpoints import ALL_TYPES, destination, expected, seen


def said(*destinations: EventDestination, **given: Any) -> dict[str, tuple[State, str]]:
    found = check_endpoints(seen(*destinations), expected(**given))
    return {each.check: (each.state, each.says) for each in found}


def test_an_endpoint_that_is_right_has_no_trouble() -> None:
    found = said(destination(), destination("we_other", url="https://example.com/"))

    assert {state for state, _ in found.values()} == {State.OK}
    assert found[ENDPOINT][1].startswith("we_1 leads to https://hooks.example.com/webhooks/stripe")
    assert found.keys() == {ENDPOINT, VERSION, TYPES}


def test_without_an_endpoint_of_ours_the_others_are_named() -> None:
    state, says = said(destination(url="https://ada:pw@example.com/hook?token=5f"))[ENDPOINT]

    assert state is State.PROBLEM
    assert "there are https://example.com/hook:" in says
    assert "`paidup doctor --stripe --fix --secret-file FILE --reason WHY`" in says
    assert "there is no other endpoint" in said()[ENDPOINT][1]


def test_a_disabled_endpoint_is_a_problem_unless_another_one_is_enabled() -> None:
    off = destination(enabled=False)

    state, says = said(off)[ENDPOINT]

    assert (state, "we_1 is disabled" in says) == (State.PROBLEM, True)
    assert said(off, destination("we_2"))[ENDPOINT][0] is State.OK


def test_an_endpoint_of_the_other_mode_sends_nothing_that_counts() -> None:
    state, says = said(destination(livemode=True))[ENDPOINT]

    assert (state, "is of live mode, and PAIDUP_LIVEMODE is test" in says) == (State.PROBLEM, True)
    assert said(destination(), livemode="live")[ENDPOINT][0] is State.PROBLEM
    assert said(destination(livemode=True), livemode="any")[ENDPOINT][0] is State.OK


def test_without_a_public_url_the_path_alone_says_which_is_ours() -> None:
    state, says = said(destination(), url=None)[ENDPOINT]

    assert (state, "set PAIDUP_PUBLIC_URL" in says) == (State.WARNING, True)
    nothing = said(destination(url="https://example.com/hook"), url=None)[ENDPOINT]
    assert nothing[0] is State.PROBLEM
    assert "set PAIDUP_PUBLIC_URL, then create one by `paidup doctor" in nothing[1]


def test_each_missing_type_comes_with_what_it_costs() -> None:
    lacking = destination(types=ALL_TYPES - {"customer.subscription.deleted"})

    state, says = said(lacking)[TYPES]

    assert state is State.PROBLEM
    assert REQUIRED_TYPES["customer.subscription.deleted"] in says
    many = said(destination(types=frozenset()))[TYPES][1]
    assert f"lacks {len(REQUIRED_TYPES)} types" in many
    assert all(name in many for name in REQUIRED_TYPES)


def test_types_that_nobody_reads_are_noise() -> None:
    state, says = said(destination(types=ALL_TYPES | {"payout.paid"}))[TYPES]

    assert (state, "payout.paid" in says) == (State.WARNING, True)
    every = said(destination(types=frozenset({"*"})))[TYPES]
    assert (every[0], "every type (*)" in every[1]) == (State.WARNING, True)


@pytest.mark.parametrize(
    "useful", ["invoice.payment_succeeded", "v2.core.health.event_generation_failure.resolved"]
)
def test_a_type_that_is_read_though_not_needed_is_no_noise(useful: str) -> None:
    assert said(destination(types=ALL_TYPES | {useful}))[TYPES][0] is State.OK


def test_thin_types_count_as_those_of_the_first_api() -> None:
    thin = destination(thin=True, types=frozenset(f"v1.{each}" for each in ALL_TYPES))

    assert said(thin)[TYPES][0] is State.OK
    assert "thin events" in said(thin)[VERSION][1]


@pytest.mark.parametrize(
    ("version", "state"),
    [
        (None, State.OK),
        ("2020-08-27", State.OK),
        ("2026-10-28.endive", State.OK),
        ("2027-01-01.next", State.WARNING),
    ],
)
def test_only_a_version_that_was_not_tried_is_a_warning(version: str | None, state: State) -> None:
    assert said(destination(version=version))[VERSION][0] is state


def test_two_endpoints_with_one_url_deliver_each_event_twice() -> None:
    state, says = said(destination(), destination("we_2"))[COPIES]

    assert (state, "we_1, we_2 lead to one URL, so each event comes 2 times" in says) == (
        State.WARNING,
        True,
    )
    thin = said(destination(), destination("ed_1", thin=True, editable=False))[COPIES]
    assert "once whole and once thin" in thin[1]
    assert COPIES not in said(destination(), destination("we_2", connected=True))


def test_endpoints_of_two_places_are_no_copies_and_only_the_url_tells_which_is_ours() -> None:
    staging = destination("we_2", url="https://staging.example.com/webhooks/stripe")

    found = said(destination(), staging, url=None)

    assert COPIES not in found
    state, says = found[ENDPOINT]
    assert (state, "set PAIDUP_PUBLIC_URL to say which" in says) == (State.WARNING, True)
    assert said(destination(), staging)[ENDPOINT][0] is State.OK


def test_events_of_connected_accounts_need_an_endpoint_that_gets_them() -> None:
    listed = {"accounts": frozenset({"acct_1"})}
    connected = destination("we_2", connected=True)

    assert said(destination(), **listed)[CONNECTED][0] is State.PROBLEM
    assert said(destination(), connected, **listed)[CONNECTED][0] is State.OK
    assert said(destination(), connected)[CONNECTED][0] is State.WARNING
