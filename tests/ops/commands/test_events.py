import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import text

from billing.envelope import parse
from ops.samples.scenario import Event
from ops.up.servers.ports import free_port
from runtime.failures.dead_letters import DeadLetterDraft, dead_letter
from runtime.inbox.entries import Parked
from runtime.inbox.inbox import Inbox
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.failures.test_dead_letters import draft
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import NOW
from tests.runtime.ledger.observation_builders import BY_ADA, seen, subscription

servers = pytest.mark.servers


@pytest.fixture
def inbox(books: SeededDatabase, redis_url: str, deployed: Callable[..., None]) -> Iterator[Inbox]:
    """The inbox of a deployment with a seeded database."""
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield Inbox(client)
    client.close()


def listed(paidup: Paidup, *arguments: str) -> list[str]:
    return [
        event["id"]
        for event in json.loads(paidup("events", "list", *arguments, "--json"))["events"]
    ]


def add_dead_letter(books: SeededDatabase, event: Event, *, key: str | None = None) -> None:
    now = datetime.now(UTC)
    letter = DeadLetterDraft(
        key=key or event.id,
        event_type=event.type,
        body=event.body,
        error_type="ZeroDivisionError",
        error="division by zero",
        attempts=8,
        origin="stripe",
        received_at=now,
        first_failed_at=now,
        failed_at=now,
    )
    dead_letter(books.engine, [letter])


@servers
def test_the_newest_settled_events_are_listed_first(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    old, new = books.tell("onetime", seed="a"), books.tell("renewal", seed="b")

    assert set(listed(paidup, "--limit", str(len(new.events)))) == {e.id for e in new.events}
    assert len(listed(paidup)) == 20
    every = listed(paidup, "--limit", "1000")
    assert set(every) == {event.id for event in (*old.events, *new.events)}


@servers
def test_filters_narrow_the_list_together(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    mine = books.tell("onetime", seed="a")
    other = books.tell("onetime", seed="b", user="usr_2")
    paid = next(event.id for event in mine.events if event.type == "checkout.session.completed")
    types = ["--type", "checkout.session.completed", "--type", "invoice.paid"]

    assert listed(paidup, *types, "--user", "usr_1") == [paid]
    assert listed(paidup, *types, "--user", "usr_2") != [paid]
    assert len(listed(paidup, *types)) == 2
    assert set(listed(paidup, "--customer", other.expected.customer_id or "")) == {
        event.id for event in other.events
    }
    customer = other.expected.customer_id or ""
    assert listed(paidup, "--user", "usr_1", "--customer", customer) == []
    assert listed(paidup, "--outcome", "ignored") == []
    assert len(listed(paidup, "--outcome", "applied")) == 10


@servers
def test_times_are_those_of_settling(books: SeededDatabase, inbox: Inbox, paidup: Paidup) -> None:
    old = {event.id for event in books.tell("onetime", seed="a").events}
    with books.engine.begin() as connection:
        connection.execute(text("UPDATE stripe_events SET applied_at = now() - interval '3 days'"))
    new = {event.id for event in books.tell("onetime", seed="b").events}

    assert set(listed(paidup, "--since", "2h")) == new
    assert set(listed(paidup, "--until", "2h", "--since", "2020-01-01")) == old
    assert listed(paidup, "--since", (datetime.now(UTC) + timedelta(days=1)).isoformat()) == []


@servers
def test_the_list_is_whole_in_a_pipe_and_counts_the_inbox(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    lifecycle = books.tell("onetime")
    inbox.accept(parse(books.compose("onetime", seed="waiting").events[0].body))

    said = paidup("events", "list")

    completed = lifecycle.events[-1]
    row = next(line for line in said.splitlines() if completed.id in line)
    assert completed.payload["data"]["object"]["id"] in row
    assert "applied" in row
    assert said.endswith("still in the inbox: 1\n")
    assert "there are more" in paidup("events", "list", "--limit", "2")
    assert "\x1b" not in said


@servers
def test_an_inbox_that_does_not_answer_does_not_hide_what_is_settled(
    books: SeededDatabase, deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=books.url, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    event = books.tell("onetime").events[0]

    assert "still in the inbox: unknown" in paidup("events", "list")
    assert "The inbox was not read" in paidup("events", "show", event.id)
    paidup("events", "show", "evt_unknown", code=1)
    assert "Redis is unreachable" in paidup.err


@servers
def test_beside_a_user_never_seen_stand_the_dead_letters_about_them(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    body = b'{"id": "evt_1", "type": "x.y", "created": 1, "data": {"object": {"user_id": "usr_9"}}}'
    dead_letter(books.engine, [draft(body=body)])

    said = paidup("events", "list", "--user", "usr_9")

    assert "no event names 'usr_9'" in said
    assert "open dead letters about them: 1; `paidup dead list`" in said


@servers
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "usr_nobody"], "no event names 'usr_nobody': give your own id of the user"),
        (["--customer", "cus_nobody"], "no event names 'cus_nobody': compare it"),
        (["--user", "\udcff"], "no event names"),
    ],
)
def test_a_user_or_customer_never_seen_is_no_error(
    arguments: list[str], said: str, inbox: Inbox, paidup: Paidup
) -> None:
    assert said in paidup("events", "list", *arguments)
    assert json.loads(paidup("events", "list", *arguments, "--json"))["known"] is False


@servers
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["list", "--type", "nonsense"], 2, "is not an event type"),
        (["list", "--since", "soon"], 2, "is not a time"),
        (["list", "--since", "1h", "--until", "2h"], 2, "is not before"),
        (["list", "--limit", "0"], 2, "not in the range"),
        (["list", "--outcome", "lost"], 2, "is not one of"),
        (["show"], 2, "Missing argument"),
        (["show", "evt_unknown"], 1, "event 'evt_unknown' never arrived here"),
        (["show", "cus_9"], 1, "cus_9 is no event: `paidup events list --user cus_9`"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str], code: int, said: str, inbox: Inbox, paidup: Paidup
) -> None:
    paidup("events", *arguments, code=code)

    assert said in paidup.err


@servers
def test_an_unreachable_database_gets_one_sentence(
    deployed: Callable[..., None], paidup: Paidup
) -> None:
    deployed(DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")

    for arguments in (["list"], ["show", "evt_1"]):
        paidup("events", *arguments, code=1)
        assert paidup.err.count("\n") == 1
        assert "PostgreSQL is unreachable" in paidup.err


@servers
def test_a_type_nobody_reads_is_pointed_out(inbox: Inbox, paidup: Paidup) -> None:
    said = paidup("events", "list", "--type", "invoice.payd")

    assert "Paidup does not read events of type invoice.payd; did you mean invoice.paid?" in said


@servers
def test_a_settled_event_tells_what_it_stated_and_changed(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    lifecycle = books.tell("onetime")
    by_type = {event.type: event.id for event in lifecycle.events}

    granted = paidup("events", "show", by_type["checkout.session.completed"])
    charged = paidup("events", "show", by_type["charge.succeeded"])

    assert "settled: applied" in granted
    assert "checkout session cs_" in granted
    assert "entitlement.granted" in granted
    assert "/lifetime" in granted
    assert "received  99.00 USD  pi_" in charged


@servers
def test_the_payload_is_shown_only_on_request(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    event = books.tell("onetime").events[-1]

    assert '"client_reference_id": "usr_1"' not in paidup("events", "show", event.id)
    assert '"client_reference_id": "usr_1"' in paidup("events", "show", event.id, "--payload")
    document = json.loads(paidup("events", "show", event.id, "--payload", "--json"))
    assert document["payload"] == event.payload
    assert document["settled"]["outcome"] == "applied"
    assert document["facts"][0]["kind"] == "checkout_session"
    assert [change["action"] for change in document["changes"]]


@servers
def test_a_pending_event_tells_where_it_is_and_what_it_would_state(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    event = books.compose("onetime").events[-1]
    inbox.accept(parse(event.body))

    assert "in the inbox, pending" in paidup("events", "show", event.id)
    inbox.claim("token")
    assert "claimed by a worker" in paidup("events", "show", event.id)
    error = "no \x1b[31mroute"
    inbox.park("token", [Parked(key=event.id, delay_seconds=60, charged=True, error=error)])

    said = paidup("events", "show", event.id)
    assert "in the inbox, due at 20" in said
    assert "last error  no \\x1b[31mroute" in said
    assert "facts it would state\n  checkout session" in said
    assert "\nchanges" not in said
    seen = json.loads(paidup("events", "show", event.id, "--json"))["inbox"][0]
    assert (seen["state"], seen["attempts"]) == ("waiting", 1)


@servers
def test_an_event_that_changed_nothing_says_so(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    ids = [event.id for event in books.tell("onetime").events]
    documents = {each: json.loads(paidup("events", "show", each, "--json")) for each in ids}
    said = {each: "it changed nothing" in paidup("events", "show", each) for each in ids}

    assert said == {each: not document["changes"] for each, document in documents.items()}
    assert set(said.values()) == {True, False}


@servers
def test_a_second_body_under_one_id_is_shown_apart(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    event = books.compose("onetime").events[0]
    books.record([event])
    inbox.accept(parse(event.body))
    other = parse(event.body.replace(b'"livemode": false', b'"livemode": true'))
    inbox.accept(other)

    said = paidup("events", "show", event.id)

    assert "settled: applied" in said
    assert f"{event.id}#{other.fingerprint}" in said
    assert "a conflict: a different event" in said
    assert "a conflict" in paidup("events", "show", f"{event.id}#{other.fingerprint}")


@servers
def test_a_dead_letter_tells_why(books: SeededDatabase, inbox: Inbox, paidup: Paidup) -> None:
    event = books.compose("onetime").events[0]
    add_dead_letter(books, event)
    add_dead_letter(books, event, key=f"{event.id}#0123456789abcdef")

    said = paidup("events", "show", event.id)

    assert said.count("a dead letter, open") == 2
    assert "ZeroDivisionError: division by zero" in said
    assert "facts it would state\n" in said
    document = json.loads(paidup("events", "show", event.id, "--json"))
    assert [letter["state"] for letter in document["dead_letters"]] == ["open", "open"]
    assert "payload" not in document["dead_letters"][0]
    assert "a dead letter" in paidup("events", "show", f"{event.id}#0123456789abcdef")


@servers
def test_a_payload_that_is_no_json_is_shown_as_it_is(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    add_dead_letter(books, Event(id="evt_odd", type="x.y", created=1, body=b"{\x1b no json"))

    said = paidup("events", "show", "evt_odd", "--payload")

    assert "{\\x1b no json" in said
    assert "nothing (" in said


@servers
def test_a_letter_that_was_dealt_with_says_by_whom(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    event = books.compose("onetime").events[0]
    add_dead_letter(books, event)
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE dead_letters SET state = 'discarded', resolved_at = now(),"
                " resolved_by = 'cli:ada', reason = 'a test event'"
            )
        )

    said = paidup("events", "show", event.id)

    assert "a dead letter, discarded" in said
    assert "by cli:ada" in said
    assert "a test event" in said


SUBSCRIPTION = {
    "id": "sub_1",
    "object": "subscription",
    "customer": "cus_1",
    "status": "active",
    "metadata": {"user_id": "usr_1"},
    "items": {
        "data": [{"id": "si_1", "price": {"id": "price_premium_monthly"}, "quantity": 1}],
        "has_more": False,
    },
}


@servers
def test_what_the_api_showed_is_shown_with_the_event_that_asked(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    name = books.observe("evt_thin", SUBSCRIPTION)

    event = paidup("events", "show", "evt_thin")
    observation = paidup("events", "show", name, "--payload")

    assert "shown by Stripe's API" in event
    assert name in event
    assert "subscription sub_1 of cus_1: " in event
    assert ["asked", "for", "evt_thin"] in [line.split() for line in observation.splitlines()]
    assert "subscription sub_1 of cus_1: " in observation
    assert '"object": "subscription"' in observation
    document = json.loads(paidup("events", "show", name, "--json"))
    assert (document["observation_id"], document["asked_for"]) == (name, ["evt_thin"])
    assert document["observation"]["api_version"] is None
    assert document["facts"][0]["event_id"] == name
    shown = json.loads(paidup("events", "show", "evt_thin", "--json"))["api_observations"]
    assert [each["id"] for each in shown] == [name]
    paidup("events", "show", "obs_sub_2_1", code=1)


@servers
def test_what_the_api_showed_for_no_event_is_shown_with_who_had_it_asked(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    ledger_on(books.engine).observe([seen(subscription())], BY_ADA)
    name = f"obs_sub_1_{NOW}"

    said = " ".join(paidup("events", "show", name).split())

    assert "asked by the backfill of ada: we adopt Paidup" in said
    assert "asked for" not in said
    document = json.loads(paidup("events", "show", name, "--json"))
    assert document["asked_for"] == []
    observation = document["observation"]
    asked = (observation["event_id"], observation["origin"], observation["actor"])
    assert asked == (None, "backfill", "ada")


@servers
def test_an_event_is_listed_for_the_user_that_only_the_api_named(
    books: SeededDatabase, inbox: Inbox, paidup: Paidup
) -> None:
    books.observe("evt_thin", SUBSCRIPTION)
    books.observe(
        "evt_other",
        {**SUBSCRIPTION, "id": "sub_2", "metadata": {"user_id": "usr_2"}, "customer": "cus_2"},
    )

    listed = json.loads(paidup("events", "list", "--user", "usr_1", "--json"))

    assert [each["id"] for each in listed["events"]] == ["evt_thin"]
