"""Strangers get few tries; those who know a token are not kept out by them."""

from ipaddress import ip_address

import pytest

from ops.console.access.login_limits import (
    SOURCES,
    TRIES_OF_A_SOURCE,
    TRIES_OF_ALL,
    LoginLimits,
    source_of,
)
from tests.fakes import FakeClock


def test_a_source_waits_after_its_tries_and_gets_them_back_one_by_one() -> None:
    clock = FakeClock()
    limits = LoginLimits(clock.monotonic)
    assert [limits.take("a") for _ in range(TRIES_OF_A_SOURCE)] == [0.0] * TRIES_OF_A_SOURCE

    assert limits.take("a") == pytest.approx(6)
    assert limits.take("b") == 0
    clock.advance(6)
    assert limits.take("a") == 0
    assert limits.take("a") > 0


def test_many_sources_share_what_all_strangers_have() -> None:
    limits = LoginLimits(FakeClock().monotonic)
    limits.succeeded("known")
    for number in range(TRIES_OF_ALL):
        assert limits.take(f"10.0.0.{number}") == 0

    assert limits.take("a stranger") > 0
    assert limits.take("known") == 0


def test_a_source_that_is_known_still_has_its_own_limit() -> None:
    limits = LoginLimits(FakeClock().monotonic)
    limits.succeeded("known")
    for _ in range(TRIES_OF_A_SOURCE):
        limits.take("known")

    assert limits.take("known") > 0


def test_a_flood_of_sources_takes_no_more_memory_than_that() -> None:
    clock = FakeClock()
    limits = LoginLimits(clock.monotonic)
    for number in range(SOURCES + 10):
        limits.take(str(number))

    assert len(limits._sources) == SOURCES


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        (None, "unknown"),
    ],
)
def test_the_addresses_of_one_ipv6_user_are_one_source(address: str | None, source: str) -> None:
    assert source_of(ip_address(address) if address else None) == source
