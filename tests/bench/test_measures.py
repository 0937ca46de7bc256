from collections.abc import Sequence

import pytest

from bench import measures
from bench.measures import NotTaken
from bench.peers import Peer

PEER = Peer(port=1, path="/")


def refusing(monkeypatch: pytest.MonkeyPatch, times: int) -> list[Sequence[bytes]]:
    """Make the endpoint refuse so often; return the list of what it was sent."""
    sent: list[Sequence[bytes]] = []

    def acknowledged(_: Peer, events: Sequence[bytes]) -> None:
        sent.append(events)
        if len(sent) <= times:
            raise NotTaken({"503": 1})

    monkeypatch.setattr(measures, "acknowledged", acknowledged)
    return sent


def test_events_refused_for_a_moment_are_resent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = refusing(monkeypatch, times=1)

    measures.taken(PEER, [b"one", b"two"])

    assert sent == [[b"one", b"two"]] * 2


def test_an_endpoint_that_goes_on_refusing_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, times=100)

    with pytest.raises(NotTaken, match="503"):
        measures.taken(PEER, [b"one"])
