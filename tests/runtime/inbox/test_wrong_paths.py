"""The record of signed deliveries at a wrong path, on a real Redis."""

import pytest

from runtime.inbox.wrong_paths import WrongPaths
from tests.runtime.inbox.entry_builders import PREFIX, Client

pytestmark = pytest.mark.servers


@pytest.fixture
def paths(client: Client) -> WrongPaths:
    return WrongPaths(client)


def counts(paths: WrongPaths, endpoint: str = "/webhooks/stripe") -> dict[str, int]:
    return {each.path: each.deliveries for each in paths.read(endpoint)}


def test_deliveries_of_all_processes_are_added_up(paths: WrongPaths, client: Client) -> None:
    paths.add({"/hook": 2, "/": 1})
    WrongPaths(client).add({"/hook": 3})

    first, second = paths.read("/webhooks/stripe")

    assert (first.path, first.deliveries) == ("/hook", 5)
    assert (second.path, second.deliveries) == ("/", 1)
    assert first.first_at <= first.last_at
    assert client.pttl(f"{PREFIX}wrong_paths") > 0


def test_a_path_that_is_the_endpoint_now_is_no_longer_wrong(paths: WrongPaths) -> None:
    paths.add({"/hook": 2, "/hook/": 1, "/other": 1})

    assert counts(paths, "/hook") == {"/other": 1}


def test_a_flood_of_paths_does_not_push_out_the_one_that_is_used(paths: WrongPaths) -> None:
    paths.add({"/real": 1})
    paths.add({"/real": 1})
    for number in range(100):
        paths.add({f"/{number}": 1})

    found = counts(paths)
    assert len(found) == 20
    assert found["/real"] == 2
    assert "/99" in found


def test_a_path_that_got_nothing_for_a_day_is_forgotten(paths: WrongPaths, client: Client) -> None:
    paths.add({"/old": 1, "/new": 1})
    count, first, last = client.hget(f"{PREFIX}wrong_paths", "/old").split()
    a_day_before = int(last) - 24 * 3600 * 1000
    client.hset(f"{PREFIX}wrong_paths", "/old", b"%s %s %d" % (count, first, a_day_before))

    paths.add({"/new": 1})

    assert counts(paths) == {"/new": 2}


def test_a_damaged_record_is_dropped(paths: WrongPaths, client: Client) -> None:
    client.hset(f"{PREFIX}wrong_paths", "/x", "what?")

    assert counts(paths) == {}
    paths.add({"/y": 1})
    assert counts(paths) == {"/y": 1}
