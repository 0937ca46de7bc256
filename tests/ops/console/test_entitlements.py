"""Documents from a real database: features of the view, grants of the rows, and known users."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from billing.ids import Realm
from ops.console.connections import hasty_engine
from ops.console.entitlements import _DOCUMENTS, _USERS_OF_CUSTOMER, Entitlements
from runtime.changes.feed import read_newest
from runtime.data_loss.settlements import replace_epoch
from runtime.settings import Settings
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import checkout, delivery, event
from tests.runtime.ledger.delivery_builders import intent as a_payment_intent
from tests.runtime.ledger.moves_in_steps import AFTER, BEFORE, CAUSE, begin_move, end_move

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC).replace(microsecond=0)
SOON, PAST = NOW + timedelta(days=1), NOW - timedelta(days=1)
ROW: dict[str, Any] = {
    "user_id": "usr_1",
    "source": "sub_1",
    "plan_code": "premium",
    "realm": "test",
    "entitlements": '{"signals_enabled": true, "max_devices": 5}',
    "per_seat": "{}",
    "active": True,
    "starts_at": PAST,
    "expires_at": None,
    "event_id": "evt_gone",
    "because": "because",
    "guessed": False,
    "catalogue_version": 1,
    "party": "test:cus_1",
}


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    settings = Settings.from_env({"DATABASE_URL": database})
    engine = hasty_engine(settings, application_name="test", pool_size=1)
    yield engine
    engine.dispose()


@pytest.fixture
def entitlements(engine: Engine) -> Entitlements:
    return Entitlements(engine, [Realm("live"), Realm("test")])


def insert(books: SeededDatabase, table: str, **values: Any) -> None:
    columns = ", ".join(values)
    names = ", ".join(f"CAST(:{name} AS {_TYPES.get(name, 'text')})" for name in values)
    with books.engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO {table} ({columns}) VALUES ({names})"),  # noqa: S608 - our own names
            values,
        )


_TYPES = {
    "entitlements": "jsonb",
    "per_seat": "text[]",
    "prices": "text[]",
    "active": "boolean",
    "guessed": "boolean",
    "inferred": "boolean",
    "provisional": "boolean",
    "cancel_at_period_end": "boolean",
    "starts_at": "timestamptz",
    "expires_at": "timestamptz",
    "as_of": "timestamptz",
    "occurred_at": "timestamptz",
    "catalogue_version": "integer",
    "amount_minor": "bigint",
    "quantity": "bigint",
    "amount_refunded_minor": "bigint",
}


def read_document(entitlements: Entitlements, user_id: str = "usr_1") -> Any:
    document = entitlements.of_user(user_id)
    read = json.loads(document.body)
    assert read["known"] == document.known
    return read


def test_a_subscription_is_shown_with_the_event_that_decided_it(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    lifecycle = books.tell("first_paid")

    document = read_document(entitlements)
    (grant,) = document["grants"]

    assert document["user_id"] == "usr_1"
    assert document["features"] == lifecycle.expected.features
    assert document["catalogue_version"] == grant["catalogue_version"] == 1
    assert grant["features"] == lifecycle.expected.features
    assert (grant["plan_code"], grant["status"], grant["realm"]) == ("premium", "active", "test")
    by_id = {event.id: event.type for event in lifecycle.events}
    assert grant["because"]["type"] == by_id[grant["because"]["event_id"]]


def test_a_refund_leaves_the_grant_as_revoked_and_no_feature(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    books.tell("refund_full")

    document = read_document(entitlements)

    assert document["features"] == document["features_expire_at"] == {}
    assert [grant["status"] for grant in document["grants"]] == ["revoked"]


def test_status_says_what_the_view_counts_at_this_moment(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    moments: dict[str, dict[str, Any]] = {
        "now": {},
        "until soon": {"expires_at": SOON},
        "from soon": {"starts_at": SOON},
        "over": {"expires_at": PAST + timedelta(hours=1)},
        "taken": {"active": False},
        "taken before its end": {"active": False, "expires_at": SOON},
        "taken before its start": {"active": False, "starts_at": SOON},
    }
    for source, moment in moments.items():
        insert(books, "user_entitlements", **{**ROW, "source": source, **moment})

    document = read_document(entitlements)

    assert {grant["source"]: grant["status"] for grant in document["grants"]} == {
        "now": "active",
        "until soon": "active",
        "from soon": "active",
        "over": "revoked",
        "taken": "revoked",
        "taken before its end": "revoked",
        "taken before its start": "revoked",
    }


def test_features_are_merged_over_sources_and_realms_with_their_own_ends(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    insert(books, "user_entitlements", **{**ROW, "expires_at": SOON})
    seats = '{"max_devices": 20, "signals_enabled": false}'
    insert(books, "user_entitlements", **{**ROW, "realm": "live", "entitlements": seats})

    document = read_document(entitlements)

    assert document["features"] == {"max_devices": 20, "signals_enabled": True}
    assert document["features_expire_at"]["max_devices"] is None
    assert datetime.fromisoformat(document["features_expire_at"]["signals_enabled"]) == SOON
    assert [grant["realm"] for grant in document["grants"]] == ["live", "test"]


def test_an_event_that_is_not_kept_is_still_named(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    insert(books, "user_entitlements", **ROW)

    (grant,) = read_document(entitlements)["grants"]

    assert grant["because"] == {"event_id": "evt_gone", "type": None}


_SUBSCRIPTION: dict[str, Any] = {
    "stripe_subscription_id": "sub_1",
    "status": "incomplete",
    "prices": "{}",
    "cancel_at_period_end": False,
    "as_of": NOW,
}
_PAYMENT: dict[str, Any] = {
    "payment_ref": "pi_1",
    "amount_minor": 0,
    "amount_refunded_minor": 0,
    "currency": "usd",
    "status": "failed",
    "inferred": False,
    "provisional": False,
    "occurred_at": NOW,
}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("customers", {"stripe_customer_id": "cus_1"}),
        ("subscriptions", _SUBSCRIPTION),
        ("purchases", {"purchase_ref": "pi_1", "line": "", "quantity": 1, "status": "pending"}),
        ("payments", _PAYMENT),
    ],
)
def test_a_user_in_any_table_is_known(
    entitlements: Entitlements, books: SeededDatabase, table: str, row: dict[str, Any]
) -> None:
    insert(books, table, user_id="usr_1", realm="test", party="test:cus_1", **row)

    document = read_document(entitlements)

    assert (document["features"], document["grants"]) == ({}, [])
    assert document["known"]
    assert not read_document(entitlements, "usr_2")["known"]


def test_a_user_never_seen_has_nothing(entitlements: Entitlements, books: SeededDatabase) -> None:
    assert read_document(entitlements, "usr_9") == {
        "user_id": "usr_9",
        "known": False,
        "version": 0,
        "epoch": epoch_of(books),
        "features": {},
        "features_expire_at": {},
        "grants": [],
        "catalogue_version": 1,
        "pending_update": None,
    }


def epoch_of(books: SeededDatabase) -> str:
    with books.engine.connect() as connection:
        return read_newest(connection).epoch


def test_the_version_grows_with_each_event_that_changes_a_grant_and_names_the_answer(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    lifecycle = books.compose("refund_full")
    answers = [read_document(entitlements)]
    for each in lifecycle.events:
        books.record([each])
        answers.append(read_document(entitlements))

    versions = [answer["version"] for answer in answers]
    assert versions == sorted(versions)
    assert set(versions) == set(range(versions[-1] + 1))
    by_version: dict[int, list[Any]] = {version: [] for version in versions}
    for answer in answers:
        by_version[answer["version"]].append((answer["features"], answer["grants"]))
    assert all(each == same[0] for same in by_version.values() for each in same)
    assert versions[-1] >= 2


def test_another_epoch_is_in_every_answer(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    books.tell("first_paid")
    with books.engine.begin() as connection:
        customer = connection.scalar(text("SELECT stripe_customer_id FROM customers"))
    before = epoch_of(books)
    old = entitlements.of_user("usr_1")
    with books.engine.begin() as connection:
        replace_epoch(connection)
    after = epoch_of(books)

    of_user = entitlements.of_user("usr_1")
    answers = [
        of_user,
        entitlements.of_users(["usr_9", "usr_1"]),
        entitlements.of_customer(str(customer)),
        entitlements.of_customer("cus_unknown"),
    ]

    assert [json.loads(each.body)["epoch"] for each in answers] == [after] * 4
    assert {each.epoch for each in answers} == {after}
    assert json.loads(old.body) == {**json.loads(of_user.body), "epoch": before}
    assert before != after


def test_several_users_are_read_as_each_alone_in_the_order_they_are_named(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    books.tell("first_paid", user="usr_2", seed="2")
    books.tell("refund_full", user="usr_1", seed="1")

    document = entitlements.of_users(["usr_2", "usr_9", "usr_1", "usr_2"])

    assert document.known
    assert json.loads(document.body)["entitlements"] == [
        read_document(entitlements, user) for user in ("usr_2", "usr_9", "usr_1")
    ]
    assert not entitlements.of_users(["usr_8", "usr_9"]).known


def test_a_customer_is_read_as_its_user(entitlements: Entitlements, books: SeededDatabase) -> None:
    books.tell("first_paid", seed="1")
    books.tell("first_paid", user="usr_2", seed="2")
    with books.engine.begin() as connection:
        customer = connection.scalar(
            text("SELECT stripe_customer_id FROM customers WHERE user_id = 'usr_1'")
        )

    document = json.loads(entitlements.of_customer(str(customer)).body)

    assert (document["customer"], document["known"], document["more"]) == (customer, True, False)
    assert document["entitlements"] == [read_document(entitlements)]
    assert document["entitlements"][0]["features"]


def test_a_customer_is_read_as_every_user_whom_its_objects_name(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    its = {"realm": "test", "stripe_customer_id": "cus_1", "party": "test:cus_1"}
    insert(books, "memberships", object_key="test:cus_1", party="test:cus_1")
    insert(books, "customers", user_id="usr_2", **its)
    insert(books, "subscriptions", user_id="usr_1", **_SUBSCRIPTION, **its)
    insert(books, "payments", user_id=None, **_PAYMENT, **its)
    other = {**its, "stripe_customer_id": "cus_2"}
    insert(books, "customers", user_id="usr_3", **other)

    document = json.loads(entitlements.of_customer("cus_1").body)

    assert [each["user_id"] for each in document["entitlements"]] == ["usr_1", "usr_2"]


def test_a_customer_without_a_user_is_known_and_one_never_seen_is_not(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    insert(books, "memberships", object_key="live:cus_1", party="live:cus_1")
    insert(books, "memberships", object_key="live/acct_other:cus_2", party="live/acct_other:cus_2")

    found = [json.loads(entitlements.of_customer(each).body) for each in ("cus_1", "cus_2")]

    assert [each["known"] for each in found] == [True, False]
    assert [each["entitlements"] for each in found] == [[], []]


def test_of_a_customer_with_very_many_users_the_first_hundred_are_read(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    insert(books, "memberships", object_key="test:cus_1", party="test:cus_1")
    for number in range(101):
        insert(
            books,
            "payments",
            **{**_PAYMENT, "payment_ref": f"pi_{number}"},
            realm="test",
            user_id=f"usr_{number:03}",
            stripe_customer_id="cus_1",
            party="test:cus_1",
        )

    document = json.loads(entitlements.of_customer("cus_1").body)

    assert document["more"]
    assert [each["user_id"] for each in document["entitlements"]] == [
        f"usr_{number:03}" for number in range(100)
    ]


def abandoned(session_id: str, **given: Any) -> bytes:
    stated = {"status": "expired", "payment_status": "unpaid"}
    return event("checkout.session.expired", checkout(session_id, **stated | given))


@pytest.mark.parametrize(
    ("session", "intent"),
    [
        ({"payment_intent": None}, None),
        ({"payment_intent": None, "customer": "cus_1"}, None),
        ({"payment_intent": None, "customer": "cus_1", "mode": "subscription"}, None),
        # Before API version 2022-08-01 a session had its intent from the beginning.
        ({"payment_intent": "pi_1"}, {"status": "canceled", "amount_received": 0}),
    ],
)
def test_an_abandoned_checkout_makes_no_user_known(
    entitlements: Entitlements,
    books: SeededDatabase,
    session: dict[str, Any],
    intent: dict[str, Any] | None,
) -> None:
    bodies = [abandoned("cs_1", **session)]
    if intent:
        bodies.append(event("payment_intent.canceled", a_payment_intent("pi_1", **intent)))
    ledger = ledger_on(books.engine)

    ledger.record([delivery(body) for body in bodies])
    assert not read_document(entitlements, "usr_123")["known"]

    ledger.record([delivery(event("checkout.session.completed", checkout("cs_2")))])
    assert read_document(entitlements, "usr_123")["features"]


def test_a_change_that_has_not_reached_old_payments_is_named_to_all_whom_it_concerns(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    begin_move(books.engine)
    insert(books, "customers", realm="test", stripe_customer_id="c", user_id="usr_9", party="p")

    before, after, other = (read_document(entitlements, one) for one in (BEFORE, AFTER, "usr_9"))
    of_customer = json.loads(entitlements.of_customer("cus_1").body)
    end_move(books.engine)

    assert before["pending_update"]["event_id"] == after["pending_update"]["event_id"] == CAUSE
    assert datetime.fromisoformat(after["pending_update"]["since"]) >= NOW
    assert [each["pending_update"] for each in of_customer["entitlements"]] == [
        before["pending_update"]
    ] * 2
    assert other["pending_update"] is None
    assert read_document(entitlements, AFTER)["pending_update"] is None


def test_the_end_of_a_change_changes_the_document_of_a_user_whose_rows_stay(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    """Only then does the ETag of the document change, too, so that no answer is 304."""
    begin_move(books.engine)
    during = entitlements.of_user(AFTER).body
    with books.engine.begin() as connection:
        connection.execute(text("DELETE FROM archive_updates"))

    after = entitlements.of_user(AFTER).body

    assert json.loads(during) == {
        **json.loads(after),
        "pending_update": json.loads(during)["pending_update"],
    }
    assert during != after


def test_before_the_first_catalogue_its_version_is_null(
    entitlements: Entitlements, engine: Engine, books: SeededDatabase
) -> None:
    insert(books, "user_entitlements", **ROW)
    with books.engine.begin() as connection:
        connection.execute(text("DELETE FROM catalogues"))

    assert read_document(entitlements)["catalogue_version"] is None


@pytest.mark.parametrize(
    "user_id",
    [
        "a/b",
        "../../etc",
        "Zo\u00eb \U0001f600",
        "'; DROP TABLE customers; --",
        "%s %(user_id)s",
        " ",
    ],
)
def test_odd_user_ids_are_found_as_they_are(
    entitlements: Entitlements, books: SeededDatabase, user_id: str
) -> None:
    insert(books, "customers", realm="test", stripe_customer_id="c", user_id=user_id, party="p")

    assert read_document(entitlements, user_id)["user_id"] == user_id
    assert not read_document(entitlements, user_id + "x")["known"]


def test_what_postgresql_refuses_is_found_as_it_was_written(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    insert(books, "customers", realm="test", stripe_customer_id="c", user_id="a\ufffdb", party="p")

    assert read_document(entitlements, "a\0b")["user_id"] == "a\ufffdb"
    assert read_document(entitlements, "a\ud800b")["user_id"] == "a\ufffdb"


def test_no_table_is_walked_through(engine: Engine, books: SeededDatabase) -> None:
    """Check the plan on empty tables, for which PostgreSQL prefers sequential scans."""
    with engine.connect() as connection:
        asked = {"user_ids": ["usr_1"], "keys": ["test:cus_1"], "customer": "cus_1", "limit": 1}
        plan = "\n".join(
            line
            for statement in (_DOCUMENTS, _USERS_OF_CUSTOMER)
            for line in connection.exec_driver_sql("EXPLAIN " + statement, asked).scalars()
        )

    assert "Seq Scan" not in plan
    # These have two indexes by their key alone, and on empty tables either is as good.
    for table in ("stripe_events", "memberships", "user_versions"):
        assert re.search(rf"using {table}_(pkey|prefix_idx)", plan), table
    for index in (
        "user_entitlements_pkey",
        "customers_user_id_idx",
        "subscriptions_user_id_idx",
        "purchases_user_id_idx",
        "payments_user_id_idx",
        "catalogues_pkey",
        "database_epoch_pkey",
        "customers_party_idx",
        "subscriptions_party_idx",
        "payments_customer_idx",
        "archive_updates_pkey",
    ):
        assert index in plan


def test_connections_that_died_while_they_idled_are_replaced_unseen(
    entitlements: Entitlements, books: SeededDatabase
) -> None:
    books.tell("first_paid")
    read_document(entitlements)

    with books.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'test' AND datname = current_database()"
            )
        )

    assert read_document(entitlements)["features"]
