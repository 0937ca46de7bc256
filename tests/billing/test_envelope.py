"""Any bytes become an envelope or one clear refusal."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.envelope import LATEST, MAX_DEPTH, Envelope, parse, referenced_id, usable_id
from billing.errors import MalformedEvent
from tests.billing.event_builders import CREATED, document, encoded, event

THIN = {
    "id": "evt_thin",
    "object": "v2.core.event",
    "type": "v1.customer.subscription.updated",
    "livemode": True,
    "created": "2026-11-21T09:30:00.123Z",
    "related_object": {"id": "sub_1", "type": "subscription", "url": "/v1/subscriptions/sub_1"},
}

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def changed(**changes: Any) -> bytes:
    """Return a good event with some members replaced; ``...`` removes one."""
    payload = document("customer.updated", {"id": "cus_1"}) | changes
    return encoded({key: value for key, value in payload.items() if value is not ...})


def refusal(body: bytes) -> str:
    with pytest.raises(MalformedEvent) as refused:
        parse(body)
    return refused.value.reason


def test_an_event_is_read_with_its_exact_bytes() -> None:
    body = encoded(document("customer.updated", {"id": "cus_1", "object": "customer"}))

    envelope = parse(body)

    assert envelope == Envelope(
        event_id=envelope.event_id,
        type="customer.updated",
        api_version="2026-10-28.endive",
        account=None,
        owner_known=True,
        livemode=False,
        created_at=datetime.fromtimestamp(CREATED, UTC),
        object_id="cus_1",
        customer_id="cus_1",
        thin=False,
        partition="test:cus_1",
        fingerprint=envelope.fingerprint,
        body=body,
        payload=json.loads(body),
    )
    assert envelope.event_id == "evt_1"


def test_the_representation_of_an_envelope_shows_no_body() -> None:
    envelope = event("customer.updated", {"id": "cus_1", "email": "jenny@example.com"})

    assert "jenny" not in repr(envelope)


def test_the_realm_tells_accounts_and_modes_apart() -> None:
    assert parse(changed(livemode=True, account="acct_1")).realm == "live/acct_1"
    assert parse(changed()).realm == "test"


@pytest.mark.parametrize(
    ("stated", "partition"),
    [
        ({"id": "sub_1", "customer": "cus_1"}, "test:cus_1"),
        ({"id": "sub_1", "customer": {"id": "cus_1", "object": "customer"}}, "test:cus_1"),
        ({"id": "sub_1", "customer": None, "customer_account": "acct_9"}, "test:acct_9"),
        ({"id": "pi_1", "customer": None}, "test:pi_1"),
        ({"object": "balance"}, "test:evt_1"),
    ],
)
def test_the_partition_is_the_customer_else_the_object_else_the_event(
    stated: dict[str, Any], partition: str
) -> None:
    assert event("any.type", stated).partition == partition


def test_the_partition_of_a_connected_account_is_its_own() -> None:
    envelope = event("any.type", {"id": "ch_1", "customer": "cus_1"}, account="acct_1")

    assert envelope.partition == "test/acct_1:cus_1"


def test_a_summary_is_identified_by_its_customer() -> None:
    envelope = event("entitlements.active_entitlement_summary.updated", {"customer": "cus_1"})

    assert envelope.object_id == "cus_1"


def test_two_shapes_of_one_event_have_one_fingerprint() -> None:
    old = event("charge.updated", {"id": "ch_1", "amount": 1}, api_version="2014-01-31")
    new = event("charge.updated", {"id": "ch_1", "customer": "cus_1"})

    assert old.fingerprint == new.fingerprint
    assert len(new.fingerprint) == 16


def test_a_fingerprint_is_the_same_in_every_release() -> None:
    """Keep the stored value: it tells a redelivery from another event under one id."""
    assert parse(changed()).fingerprint == "6bc15468e4b59df7"
    assert parse(encoded(THIN | {"related_object": None})).fingerprint == "69fd8096c666f96c"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "customer.created"},
        {"account": "acct_1"},
        {"livemode": True},
        {"data": {"object": {"id": "cus_2"}}},
    ],
)
def test_what_makes_two_events_different_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    assert parse(changed(**changes)).fingerprint != parse(changed()).fingerprint


def test_a_thin_event_is_another_one_in_another_context() -> None:
    contexts: tuple[dict[str, str], ...] = ({}, {"context": "acct_1"}, {"context": "acct_2"})
    found = {parse(encoded(THIN | context)).fingerprint for context in contexts}

    assert len(found) == 3


def test_the_json_of_an_event_is_read_as_the_caller_says() -> None:
    payload = document("customer.updated", {"id": "cus_9", "object": "customer"})

    envelope = parse(b"as sent", decode=lambda _: payload)

    assert (envelope.customer_id, envelope.body) == ("cus_9", b"as sent")


def test_a_thin_event_names_its_object_without_containing_it() -> None:
    envelope = parse(encoded(THIN))

    assert envelope.thin
    assert (envelope.object_id, envelope.customer_id) == ("sub_1", None)
    assert envelope.partition == "live:sub_1"
    assert envelope.created_at == datetime(2026, 11, 21, 9, 30, 0, 123000, UTC)


def test_a_thin_event_may_relate_to_no_object() -> None:
    envelope = parse(encoded(THIN | {"related_object": None}))

    assert envelope.object_id is None
    assert envelope.partition == "live:evt_thin"


@pytest.mark.parametrize(
    ("members", "account"),
    [
        ({}, None),
        ({"context": None}, None),
        ({"context": "acct_1"}, "acct_1"),
        ({"context": "acct_1/acct_2"}, "acct_2"),
        ({"context": "acct_1/acct_2/acct_3"}, "acct_3"),
        ({"context": "org_1/acct_2"}, "acct_2"),
        ({"account": "acct_1"}, "acct_1"),
        ({"account": "acct_1", "context": None}, "acct_1"),
        ({"account": "acct_1", "context": "acct_1"}, "acct_1"),
        ({"account": "acct_2", "context": "acct_1/acct_2"}, "acct_2"),
    ],
)
@pytest.mark.parametrize("thin", [False, True])
def test_the_last_account_of_the_context_owns_the_object(
    members: dict[str, Any], account: str | None, *, thin: bool
) -> None:
    envelope = parse(encoded(THIN | members) if thin else changed(**members))

    assert (envelope.account, envelope.owner_known) == (account, True)


@pytest.mark.parametrize(
    "members",
    [
        {"context": ""},
        {"context": 7},
        {"context": False},
        {"context": ["acct_1"]},
        {"context": {"account": "acct_1"}},
        {"context": "org_1"},
        {"context": "wksp_1"},
        {"context": "acct_"},
        {"context": "acct_1/"},
        {"context": "/acct_1"},
        {"context": "acct_1//acct_1"},
        {"context": "acct_1/wksp_2"},
        {"context": "wksp_1/acct_1"},
        {"context": "acct_2/org_1/acct_1"},
        {"context": " acct_1"},
        {"context": "acct_1\n"},
        {"context": "ACCT_1"},
        {"context": "acct_\u00e9"},
        {"account": "acct_1", "context": "acct_2"},
        {"account": "acct_1", "context": "acct_1/acct_2"},
        {"account": "acct_1", "context": "org_1"},
        {"account": "acct_1", "context": ""},
    ],
)
@pytest.mark.parametrize("thin", [False, True])
def test_a_context_that_proves_no_owner_is_marked(members: dict[str, Any], *, thin: bool) -> None:
    assert not parse(encoded(THIN | members) if thin else changed(**members)).owner_known


@pytest.mark.parametrize("context", ["org_1", "wksp_1", "acct_1/wksp_2", "acct_1/", "ACCT_1"])
def test_what_ends_in_no_account_names_none(context: str) -> None:
    assert parse(changed(context=context)).account is None


def test_a_long_context_is_read_in_no_time() -> None:
    path = "acct_1/" * 20_000

    assert parse(changed(context=path + "acct_2")).account == "acct_2"
    assert not parse(changed(context=path + "!")).owner_known


def test_a_snapshot_with_a_context_is_the_same_event_as_without() -> None:
    assert parse(changed(context="acct_1")).fingerprint == parse(changed()).fingerprint
    assert parse(changed(context="acct_1")).realm == "test/acct_1"


@pytest.mark.parametrize("created", [0, LATEST])
def test_the_first_and_the_last_moment_are_taken(created: int) -> None:
    moment = datetime.fromtimestamp(created, UTC)
    thin = parse(encoded(THIN | {"created": moment.isoformat()}))

    assert parse(changed(created=created)).created_at == moment
    assert thin.created_at == moment
    assert thin.created_at.tzinfo is UTC


def test_a_time_without_a_zone_is_universal_wherever_it_is_read() -> None:
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        read = parse(encoded(THIN | {"created": "2026-11-21T09:30:00"})).created_at
    time.tzset()

    assert read == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        (1_795_302_514, datetime.fromtimestamp(1_795_302_514, UTC)),
        ("2026-11-21T09:30:00", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
        ("2026-11-21T11:30:00+02:00", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_thin_event_may_write_its_time_in_any_usual_form(
    written: object, moment: datetime
) -> None:
    assert parse(encoded(THIN | {"created": written})).created_at == moment


@pytest.mark.parametrize(
    "created", ["yesterday", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-10:00", "", "\ud800"]
)
def test_a_thin_event_without_a_sane_time_is_refused(created: str) -> None:
    assert refusal(encoded(THIN | {"created": created})) == "created is no time that Stripe states"


@pytest.mark.parametrize("created", [None, True, -1, LATEST + 1, 1.5, "1", "2026-11-21", []])
def test_an_event_without_a_sane_time_is_refused(created: object) -> None:
    assert refusal(changed(created=created)) == "created is no time that Stripe states"


@pytest.mark.parametrize("name", ["id", "type", "created"])
def test_a_field_that_is_missing_is_named(name: str) -> None:
    assert refusal(changed(**{name: ...})) == f"{name} is missing"


@pytest.mark.parametrize("event_id", [None, 7, "", "evt 1", "evt#1", "é", "e" * 256, "e\n"])
def test_an_event_without_a_usable_id_is_refused(event_id: object) -> None:
    assert refusal(changed(id=event_id)) == "there is no usable id"


@pytest.mark.parametrize("event_type", [None, 7, "", "two words", "t" * 256, "nul\x00"])
def test_an_event_without_a_usable_type_is_refused(event_type: object) -> None:
    assert refusal(changed(type=event_type)) == "there is no usable type"


@pytest.mark.parametrize("account", [7, "", "acct:1", "acct/1"])
def test_an_account_that_cannot_name_a_realm_is_refused(account: object) -> None:
    assert refusal(changed(account=account)) == "there is no usable account"


@pytest.mark.parametrize("livemode", [None, 0, 1, "false"])
def test_a_mode_that_is_neither_true_nor_false_is_refused(livemode: object) -> None:
    assert refusal(changed(livemode=livemode)) == "livemode is neither true nor false"


def test_an_event_without_a_mode_is_a_test() -> None:
    assert parse(changed(livemode=...)).livemode is False


@pytest.mark.parametrize("data", [..., None, [], {}, {"object": None}, {"object": "cus_1"}])
def test_an_event_without_its_object_is_refused(data: object) -> None:
    assert refusal(changed(data=data)) == "there is no data.object"


@pytest.mark.parametrize(
    ("version", "kept"),
    [("2014-01-31", "2014-01-31"), ("v\x00", "v\ufffd"), ("v" * 999, "v" * 100), (7, None)],
)
def test_an_odd_api_version_does_no_harm(version: object, kept: str | None) -> None:
    assert parse(changed(api_version=version)).api_version == kept


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"evt_1"'])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    assert refusal(body) == "the body is not a JSON object"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'id': 1}",
        b"\xef\xbb\xbf{}",
        b'{"amount": NaN}',
        b'{"amount": -Infinity}',
        b'{"amount": 1e999}',
        b'{"amount": ' + b"9" * 100_000 + b"}",
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    assert refusal(body) == "the body is not JSON, or has numbers that are too large"


@pytest.mark.parametrize("body", [b"\xff", b'{"id": "\xed\xa0\x80"}', '{"id": 1}'.encode("utf-16")])
def test_what_is_not_utf8_is_refused(body: bytes) -> None:
    assert refusal(body) == "the body is not UTF-8"


@pytest.mark.parametrize("depth", [MAX_DEPTH, 100_000])
def test_a_body_that_nests_without_end_is_refused(depth: int) -> None:
    assert refusal(b'{"a":' * depth + b"[]" + b"}" * depth) == "the body is nested too deeply"


def test_a_wide_body_is_not_a_deep_one() -> None:
    stated = {"id": "cus_1", "lines": [[{}]] * MAX_DEPTH}

    assert event("customer.updated", stated).object_id == "cus_1"


def test_a_lone_surrogate_in_a_body_does_no_harm() -> None:
    assert parse(changed(data={"object": {"id": "cus_1", "name": "\ud800"}})).object_id == "cus_1"


@pytest.mark.parametrize(
    "value", [None, 7, True, [], {}, "", "x" * 256, "nul\x00", "\ud800", "li\nne", "é"]
)
def test_what_cannot_be_a_key_is_no_id(value: object) -> None:
    assert usable_id(value) is None


@pytest.mark.parametrize("value", ["x", "x" * 255])
def test_what_can_be_a_key_is_an_id(value: str) -> None:
    assert usable_id(value) == value


def test_an_expanded_object_stands_for_its_id() -> None:
    assert referenced_id({"id": "cus_1"}) == "cus_1"
    assert referenced_id("cus_1") == "cus_1"
    assert referenced_id({"id": {"id": "cus_1"}}) is None


@given(st.binary())
def test_bytes_are_an_event_or_refused(body: bytes) -> None:
    with suppress(MalformedEvent):
        parse(body)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            key: ANY_JSON | st.just(good)
            for key, good in {**THIN, **document("a.b", {"id": "x"})}.items()
        },
    )
    | ANY_JSON
)
def test_any_json_is_an_event_or_refused(payload: object) -> None:
    with suppress(MalformedEvent):
        envelope = parse(encoded(payload))
        assert envelope.partition.startswith(f"{envelope.realm}:")
