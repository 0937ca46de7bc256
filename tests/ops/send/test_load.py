import time
from itertools import pairwise

import pytest
from stripe import WebhookSignature

from ops.errors import CommandFailed
from ops.samples.api_shapes import Shape
from ops.samples.scenario import Event
from ops.send.delivery import DeliveryClient, EndpointResponse
from ops.send.endpoint import Endpoint
from ops.send.load import SendTotals, send_all
from ops.send.traffic import TrafficPlan
from tests.ops.send.scripted_endpoint import scripted

servers = pytest.mark.servers


def events(count: int = 1) -> list[Event]:
    plan = TrafficPlan(
        scenarios=("paid_checkout",), shapes=(Shape.NEW,), seed="s", now=1, count=count
    )
    return list(plan.events())


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://host/x", "http:///x", "http://host:port/", "http://[::1/"]
)
def test_what_is_no_webhook_url_is_refused(url: str) -> None:
    with pytest.raises(CommandFailed, match="use one like http://"):
        Endpoint.at(url)


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8000/webhooks/stripe", True),
        ("http://localhost/webhooks/stripe", True),
        ("http://[::1]:8000/", True),
        ("http://127.0.0.1.example.com/", False),
        ("https://pay.example.com/webhooks/stripe", False),
        ("http://10.0.0.7/", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, *, ours: bool) -> None:
    assert Endpoint.at(url).is_loopback is ours


@servers
def test_every_event_arrives_signed_over_one_connection() -> None:
    with scripted() as server:
        totals = send_all(events(20), Endpoint.at(server.url), "whsec_a")

    assert [received.body for received in server.received] == [e.body for e in events(20)]
    for received in server.received:
        text = received.body.decode()
        assert WebhookSignature.verify_header(text, received.signature, "whsec_a", tolerance=60)
    assert dict(totals.answers) == {202: 20}
    assert totals.all_taken
    assert 0 < totals.latency_ms["p50"] <= totals.latency_ms["p99"]


@servers
def test_a_busy_endpoint_gets_the_event_again_when_it_asked_for_it() -> None:
    with scripted(503, 503) as server:
        totals = send_all(events(), Endpoint.at(server.url), "whsec_a")

    assert (dict(totals.answers), totals.retries) == ({202: 1}, 2)
    assert all(later.at - earlier.at >= 0.2 for earlier, later in pairwise(server.received))


@servers
def test_patience_with_a_busy_endpoint_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.send.delivery.LONGEST_WAIT", 0.001)
    with scripted(*[503] * 50) as server:
        totals = send_all(events(), Endpoint.at(server.url), "whsec_a")

    assert dict(totals.answers) == {503: 1}
    assert len(server.received) == 8
    assert not totals.all_taken


@servers
def test_a_pause_that_returns_true_ends_the_attempts() -> None:
    stops = iter([False, True])
    with scripted(503, 503, 503) as server:
        client = DeliveryClient(Endpoint.at(server.url), "whsec_a")
        answer = client.deliver(b"{}", pause=lambda _: next(stops))
        client.close()

    assert (answer.status, answer.attempts) == (503, 2)
    assert len(server.received) == 2


@servers
def test_a_refusal_is_not_repeated_but_shown() -> None:
    with scripted(403) as server:
        totals = send_all(events(2), Endpoint.at(server.url), "whsec_a")

    assert dict(totals.answers) == {403: 1, 202: 1}
    ((event_id, answer),) = totals.refused
    assert (event_id, answer.said) == (events()[0].id, "the script says so")


@servers
def test_a_server_that_went_away_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.send.delivery.LONGEST_WAIT", 0.001)
    with scripted() as server:
        endpoint = Endpoint.at(server.url)

    totals = send_all(events(), endpoint, "whsec_a")

    assert dict(totals.answers) == {0: 1}


@servers
def test_the_rate_is_kept_over_all_connections() -> None:
    begun = time.monotonic()
    with scripted() as server:
        totals = send_all(events(21), Endpoint.at(server.url), "whsec_a", concurrency=4, rate=50.0)

    assert totals.sent == 21
    assert time.monotonic() - begun >= 0.4


@servers
def test_a_signature_can_be_forged() -> None:
    with scripted() as server:
        client = DeliveryClient(Endpoint.at(server.url), "whsec_a")
        client.post(b"{}", signature="t=1,v1=00")
        client.close()

    assert server.received[0].signature == "t=1,v1=00"


def test_an_answer_that_is_no_json_is_quoted() -> None:
    answer = EndpointResponse(status=502, body=b"<html>", seconds=0.1)

    assert answer.document is None
    assert answer.field("detail") is None
    assert answer.said == "<html>"


def test_an_empty_run_has_latency_nought() -> None:
    assert SendTotals().latency_ms == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
