import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from billing.envelope import Envelope, parse
from ops.commands import dead as dead_command
from ops.samples.scenario import Event
from ops.up.servers.ports import free_port
from runtime.failures.dead_letters import dead_letter, discard
from runtime.inbox.entries import Parked
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv, yesterday
from tests.runtime.failures.test_dead_letters import draft
from tests.runtime.ledger.delivery_builders import event

pytestmark = pytest.mark.servers

WHY = ("--reason", "its reader was mended", "--as", "ada")


def onetime(floor: OpsEnv, seed: str = "a", user: str = "usr_1") -> Sequence[Event]:
    return floor.books.compose("onetime", seed=seed, user=user).events


def fail_all(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch, *events: Event) -> list[str]:
    with yesterday(monkeypatch, unreadable=True):
        return floor.take_in(*events)


def listed(paidup: Paidup, *arguments: str) -> set[str]:
    document = json.loads(paidup("dead", "list", *arguments, "--json"))
    return {letter["event_id"] for letter in document["dead_letters"]}


def second_body(floor: OpsEnv, event: Event) -> Envelope:
    """Accept another event under the same id."""
    other = parse(event.body.replace(event.type.encode(), b"charge.expired", 1))
    assert floor.inbox.accept(other).status == "conflict"
    return other


def test_letters_are_found_by_what_they_are_and_why_they_failed(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = onetime(floor), onetime(floor, "b", "usr_2")
    every = set(fail_all(floor, monkeypatch, *mine, *other))
    paid = next(event for event in mine if event.type == "checkout.session.completed")
    customer = floor.books.compose("onetime", seed="a").expected.customer_id or ""

    assert listed(paidup) == every
    assert listed(paidup, "--type", paid.type, "--user", "usr_1") == {paid.id}
    assert listed(paidup, "--customer", customer) == {event.id for event in mine}
    assert paid.id in listed(paidup, "--user", "usr_1") < every
    assert listed(paidup, "--error", "unreadable") == every
    assert listed(paidup, "--error", "a READER") == every
    assert listed(paidup, "--error", "100%") == set()
    assert listed(paidup, "--since", "1h") == every
    assert listed(paidup, "--until", "1h") == set()
    assert listed(paidup, "--state", "discarded") == set()
    assert len(listed(paidup, "--limit", "2")) == 2
    assert "there are more" in paidup("dead", "list", "--limit", "2")
    assert "no dead letter matches" in paidup("dead", "list", "--state", "discarded")


def test_what_a_user_is_shown_by_earlier_events_finds_letters_that_do_not_name_him(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    *earlier, last = floor.books.compose("renewal", seed="a").events
    floor.take_in(*earlier)
    fail_all(floor, monkeypatch, last)

    assert listed(paidup, "--user", "usr_1") == {last.id}
    assert listed(paidup, "--user", "usr_2") == set()


def test_a_letter_tells_its_error_its_past_and_what_it_would_state(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = onetime(floor)[-1]
    fail_all(floor, monkeypatch, event)

    said = paidup("dead", "show", event.id)
    document = json.loads(paidup("dead", "show", event.id, "--payload", "--json"))

    for words in ("a dead letter, open", "UnreadableEvent", "checkout session cs_", "dead replay"):
        assert words in said
    assert "client_reference_id" not in said
    assert "client_reference_id" in paidup("dead", "show", event.id, "--payload")
    assert document["dead_letter"]["payload"] == event.body.decode()
    assert document["would_state"][0]["kind"] == "checkout_session"
    assert [change["action"] for change in document["changes"]] == ["dead_letter.buried"]


def test_a_replay_applies_and_closes_and_is_audited(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fail_all(at_work, monkeypatch, *onetime(at_work))

    said = paidup("dead", "replay", "--type", "checkout.session.completed", *WHY)
    paidup("dead", "replay", "--all", *WHY)

    assert "1 event: 1 applied" in said
    assert set(at_work.letters().values()) == {"replayed"}
    (paid,) = {target for _, target, _ in at_work.audited("replay.requested")[:1]}
    row = at_work.letter(paid)
    assert (row.resolved_by, row.reason) == ("cli:ada", "its reader was mended")
    requested = at_work.audited("replay.requested")
    assert sorted(target for _, target, _ in requested) == sorted(ids)
    assert {(actor, why) for actor, _, why in requested} == {("cli:ada", "its reader was mended")}
    assert {actor for actor, *_ in at_work.audited("entitlement.granted")} == {"cli:ada"}
    assert at_work.inbox.backlog().events == 0
    mine = at_work.letters().keys() & listed(paidup, "--state", "all", "--user", "usr_1")
    verb = "is" if len(mine) == 1 else "are"
    none = f"no open dead letter matches; {len(mine)} {verb} replayed: --state all shows them"
    assert none in paidup("dead", "list", "--user", "usr_1")
    assert "no dead letter matches" in paidup("dead", "list", "--user", "usr_2")


def test_a_replay_that_fails_again_comes_back_with_its_history(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = fail_all(at_work, monkeypatch, onetime(at_work)[-1])

    with yesterday(monkeypatch, unreadable=True):
        said = paidup("dead", "replay", event_id, *WHY, "--json", code=1)

    (result,) = json.loads(said)["events"]
    assert (result["event"], result["status"]) == (event_id, "failed again")
    assert "a reader" in result["because"]
    assert (at_work.letter(event_id).state, len(at_work.letter(event_id).history)) == ("open", 1)
    assert "earlier failures" in paidup("dead", "show", event_id)


def test_a_discarded_event_stays_discarded_until_it_is_replayed(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = onetime(at_work)[-1]
    fail_all(at_work, monkeypatch, event)

    assert f"discarded {event.id}" in paidup("dead", "discard", event.id, *WHY)
    at_work.take_in(event)
    assert at_work.letters() == {event.id: "discarded"}
    assert at_work.scalars("SELECT outcome || ' ' || reason FROM stripe_events") == [
        "ignored discarded"
    ]
    paidup("dead", "discard", event.id, *WHY, code=1)
    assert f"{event.id} was already discarded (by cli:ada): nothing was changed" in paidup.err
    paidup("dead", "replay", "--all", *WHY, code=1)
    assert at_work.audited("dead_letter.discarded") == [
        ("cli:ada", event.id, "its reader was mended")
    ]

    assert "1 applied" in paidup("dead", "replay", event.id, *WHY)
    assert at_work.letters() == {event.id: "replayed"}
    assert at_work.scalars("SELECT outcome FROM stripe_events") == ["applied"]
    for verb in ("discard", "replay"):
        paidup("dead", verb, event.id, *WHY, code=1)
        assert f"{event.id} was applied in the meantime (by cli:ada)" in paidup.err


def test_a_discard_says_when_the_event_was_settled_before_it(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settle the event while the operator is asked."""
    event = onetime(floor)[-1]
    fail_all(floor, monkeypatch, event)
    monkeypatch.setattr(dead_command, "confirm", lambda *_, **__: floor.take_in(event))

    said = paidup("dead", "discard", event.id, *WHY, code=1)

    assert f"did not discard {event.id}: it was settled (applied) in the meantime, at" in said
    assert "by stripe" in said
    assert floor.letters() == {event.id: "replayed"}
    assert floor.audited("dead_letter.discarded") == []


def test_the_discard_of_a_failed_replay_says_that_the_event_stays_settled(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = onetime(floor)[-1]
    floor.take_in(event)
    with yesterday(monkeypatch, unreadable=True):
        paidup("replay", event.id, *WHY, "--no-wait")
        floor.work()
    assert floor.letters() == {event.id: "open"}

    said = paidup("dead", "discard", event.id, *WHY)

    assert f"discarded {event.id}; the event itself was settled before (applied)" in said
    assert floor.scalars("SELECT outcome FROM stripe_events") == ["applied"]


def test_a_replay_that_waits_in_the_inbox_does_not_undo_a_later_discard(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discard it as a command does that looked into the inbox just before the replay."""
    event = onetime(floor)[-1]
    fail_all(floor, monkeypatch, event)
    paidup("dead", "replay", event.id, *WHY, "--no-wait")
    (discarded,) = discard(floor.engine, [event.id], actor="cli:bob", reason="a test event")

    floor.work()
    assert (discarded.discarded, floor.letters()) == (True, {event.id: "discarded"})
    assert floor.scalars("SELECT reason FROM stripe_events") == ["discarded"]

    assert "1 applied" in paidup("replay", event.id, *WHY, "--dry-run")
    paidup("dead", "replay", event.id, *WHY, "--no-wait")
    floor.work()
    assert floor.letters() == {event.id: "replayed"}
    assert floor.scalars("SELECT outcome FROM stripe_events") == ["applied"]


def test_what_is_on_its_way_again_is_not_discarded(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = onetime(floor)[-1]
    fail_all(floor, monkeypatch, event)
    floor.inbox.accept(parse(event.body))

    paidup("dead", "discard", event.id, *WHY, code=1)

    assert f"{event.id} is in the inbox again" in paidup.err
    assert floor.letters() == {event.id: "open"}


def test_a_dry_discard_names_them_and_does_nothing(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = fail_all(floor, monkeypatch, onetime(floor)[-1])

    said = paidup("dead", "discard", "--all", "--dry-run")

    assert said == f"would discard {event_id}\n"
    assert floor.letters() == {event_id: "open"}


def test_a_second_body_under_one_id_is_listed_shown_and_discarded(
    floor: OpsEnv, paidup: Paidup
) -> None:
    event = onetime(floor)[0]
    floor.take_in(event)
    other = second_body(floor, event)
    key = f"{event.id}#{other.fingerprint}"

    assert key in paidup("dead", "list")
    assert "identity_conflict" in paidup("dead", "show", key)
    waiting = json.loads(paidup("dead", "list", "--json"))["dead_letter_pending"]
    assert [each["event_id"] for each in waiting] == [key]
    for user, number in (("usr_1", 1), ("usr_2", 0)):
        found = json.loads(paidup("dead", "list", "--user", user, "--json"))
        assert len(found["dead_letter_pending"]) == number
    paidup("dead", "discard", key, *WHY)

    assert floor.letters() == {key: "discarded"}
    assert floor.letter(key).error_type == "identity_conflict"
    assert floor.inbox.conflicts() == []
    assert floor.scalars("SELECT count(*) FROM stripe_events") == [1]


def test_a_second_body_that_is_replayed_fails_again_under_its_own_key(
    at_work: OpsEnv, paidup: Paidup
) -> None:
    event = onetime(at_work)[0]
    at_work.take_in(event)
    key = f"{event.id}#{second_body(at_work, event).fingerprint}"

    said = paidup("dead", "replay", "--error", "identity_conflict", *WHY, code=1)

    assert "failed again" in said
    assert at_work.letters() == {key: "open"}
    assert at_work.inbox.backlog().events == 0


def test_what_waits_for_postgresql_is_listed_from_redis(floor: OpsEnv, paidup: Paidup) -> None:
    event = onetime(floor)[0]
    floor.inbox.accept(parse(event.body))
    floor.inbox.claim("worker")
    error = "dead letter pending (OperationalError): crash_loop: it ended its worker 3 times"
    floor.inbox.park("worker", [Parked(key=event.id, delay_seconds=60, charged=False, error=error)])

    assert error in paidup("dead", "list")
    assert error in paidup("dead", "show", event.id)
    assert (
        json.loads(paidup("dead", "show", event.id, "--payload", "--json"))["dead_letter_pending"][
            "payload"
        ]
        == event.body.decode()
    )
    assert error not in paidup("dead", "list", "--type", "invoice.paid")


def test_one_server_away_does_not_hide_what_the_other_has(
    floor: OpsEnv, paidup: Paidup, deployed: Callable[..., None], redis_url: str
) -> None:
    event = onetime(floor)[0]
    floor.take_in(event)
    second_body(floor, event)

    deployed(DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x", REDIS_URL=redis_url)
    assert event.id in paidup("dead", "list", code=1)
    assert "PostgreSQL is unreachable" in paidup.err
    deployed(DATABASE_URL=floor.books.url, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    paidup("dead", "list", code=1)
    assert "Redis is unreachable" in paidup.err
    paidup("dead", "show", event.id, code=1)
    paidup("dead", "replay", event.id, *WHY, code=1)
    assert "Redis is unreachable" in paidup.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show"], 2, "Missing argument"),
        (["show", "evt_unknown"], 1, "no dead letter 'evt_unknown'"),
        (["show", "\udcff"], 1, "no dead letter"),
        (["list", "--type", "nonsense"], 2, "is not an event type"),
        (["list", "--since", "1h", "--until", "2h"], 2, "is not before"),
        (["list", "--state", "lost"], 2, "is not one of"),
        (["replay", "evt_unknown", *WHY], 1, "no dead letter: evt_unknown; nothing was changed"),
        (["replay", *WHY], 2, "name events, or give a filter, or --all"),
        (["replay", "evt_1", "--all", *WHY], 2, "one of the three"),
        (["replay", "--all"], 2, "--reason is missing"),
        (["replay", "--error", "", *WHY], 2, "leave the option out, or give a text"),
        (["replay", "--all", "--reason", " "], 2, "write 1 to 500 characters"),
        (["replay", "--all", *WHY, "--rate", "0"], 2, "not in the range"),
        (["replay", "--user", "usr_nobody", *WHY], 1, "no open dead letter matches"),
        (["discard", "--all"], 2, "--reason is missing"),
        (["discard", *WHY], 2, "name events"),
        (["discard", "evt_unknown", *WHY], 1, "no dead letter: evt_unknown"),
        (["discard", "--all", *WHY], 1, "no open dead letter matches"),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(
    arguments: list[str], code: int, said: str, floor: OpsEnv, paidup: Paidup
) -> None:
    paidup("dead", *arguments, code=code)

    assert said in paidup.err
    assert floor.scalars("SELECT count(*) FROM audit_logs WHERE action <> 'catalogue.applied'") == [
        0
    ]


def test_a_name_lists_dead_letters_that_bear_it_and_changes_none(
    floor: OpsEnv, paidup: Paidup
) -> None:
    for number, name in enumerate(("Ada Lovelace", "Grace Hopper")):
        stated = {"object": "unheard_of", "id": f"in_{number}", "customer_name": name}
        body = event("invoice.paid", stated, id=f"evt_{number}")
        dead_letter(floor.books.engine, [draft(f"evt_{number}", body=body)])

    assert listed(paidup, "--user", "ada lovelace") == {"evt_0"}
    for verb in ("replay", "discard"):
        paidup("dead", verb, "--user", "Ada Lovelace", *WHY, code=1)
        assert "1 bear it as a name or in metadata: give their ids" in paidup.err
    assert set(floor.letters().values()) == {"open"}


def test_one_unknown_name_among_known_ones_stops_all_of_it(
    floor: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = fail_all(floor, monkeypatch, onetime(floor)[-1])

    for verb in ("replay", "discard"):
        paidup("dead", verb, event_id, "evt_unknown", *WHY, code=1)
        assert "evt_unknown; nothing was changed" in paidup.err

    assert floor.letters() == {event_id: "open"}
    assert floor.requeued() == 0


def test_many_are_only_done_when_somebody_means_it(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event for seed in "abcdefg" for event in onetime(at_work, seed)]
    fail_all(at_work, monkeypatch, *events)
    assert len(events) > 20

    for verb in ("replay", "discard"):
        paidup("dead", verb, "--all", *WHY, code=1)
        assert f"{len(events)} events selected: add --yes" in paidup.err
    assert at_work.requeued() == 0

    said = paidup("dead", "replay", "--all", "--yes", *WHY)
    assert f"{len(events)} events: " in said
    assert set(at_work.letters().values()) == {"replayed"}


def test_a_letter_that_cannot_even_be_parsed_is_shown_and_stays(
    at_work: OpsEnv, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = parse(onetime(at_work)[0].body)
    at_work.inbox.accept(replace(envelope, body=b"nonsense"))
    at_work.work()

    said = paidup("dead", "replay", "--all", *WHY, code=1)
    preview = paidup("dead", "replay", "--all", "--dry-run", code=1)

    assert "failed again" in said
    assert "failed again" in preview
    assert at_work.letters() == {envelope.event_id: "open"}
    assert at_work.requeued() == 0
