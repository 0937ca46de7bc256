"""Operations with a key on real PostgreSQL: one effect, whatever else happens."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import OperationalError

from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.idempotency import (
    KEPT,
    CallResult,
    IdempotencyError,
    Idempotent,
    InFlight,
    InvalidKey,
    KeyReused,
    NoTransaction,
    create_table,
    idempotent,
    remove_expired,
)
from runtime.telemetry import build_metrics
from tests.pgbouncer import PgBouncer
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

BOOK = {"item": "book", "count": 1}


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests", pool_size=10)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id serial, item text NOT NULL)"))
    yield engine
    engine.dispose()


def insert_order(connection: Connection, order: dict[str, Any]) -> int:
    """Insert an order and return its number."""
    number = connection.scalar(
        text("INSERT INTO orders (item) VALUES (:item) RETURNING id"), {"item": order["item"]}
    )
    assert isinstance(number, int)
    return number


place_order = idempotent("orders.place")(insert_order)


def place(engine: Engine, key: str | None = "k", **order: Any) -> CallResult[int]:
    with engine.begin() as connection:
        return place_order(connection, order or BOOK, key=key)


def orders(engine: Engine) -> int:
    return _count(engine, "SELECT count(*) FROM orders")


def keys(engine: Engine) -> int:
    return _count(engine, "SELECT count(*) FROM idempotency_keys")


def _count(engine: Engine, query: str) -> int:
    with engine.connect() as connection:
        return connection.scalar(text(query)) or 0


def expire_all(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE idempotency_keys SET expires_at = now()"))


class TestOnce:
    def test_a_repeated_call_gets_the_stored_result_and_has_no_effect(self, engine: Engine) -> None:
        first, again = place(engine), place(engine)

        assert first == CallResult(result=1, repeated=False)
        assert again == CallResult(result=1, repeated=True)
        assert orders(engine) == 1

    def test_a_request_is_the_same_in_any_order_of_its_names(self, engine: Engine) -> None:
        place(engine, item="book", count=1)

        assert place(engine, count=1, item="book").repeated

    def test_a_call_without_a_key_simply_runs(self, engine: Engine) -> None:
        calls = [place(engine, None), place(engine, None)]

        assert [call.repeated for call in calls] == [False, False]
        assert (orders(engine), keys(engine)) == (2, 0)

    @pytest.mark.parametrize(
        "order",
        [
            {"item": "pen", "count": 1},
            {"item": "book"},
            {"item": "book", "count": "1"},
            {"item": "book", "count": None},
        ],
    )
    def test_a_key_of_another_request_is_refused(
        self, engine: Engine, order: dict[str, Any]
    ) -> None:
        place(engine)

        with pytest.raises(KeyReused, match="the key k stands for another request"):
            place(engine, **order)

        assert orders(engine) == 1
        assert place(engine).repeated

    def test_an_invalid_key_is_refused_before_anything_happens(self, engine: Engine) -> None:
        with pytest.raises(InvalidKey):
            place(engine, "two words")

        assert orders(engine) == 0

    def test_operations_and_clients_have_keys_of_their_own(self, engine: Engine) -> None:
        other = idempotent("orders.other")(insert_order)
        with engine.begin() as connection:
            calls = [
                place_order(connection, BOOK, key="k"),
                place_order(connection, BOOK, key="k", scope="app"),
                place_order(connection, BOOK, key="K"),
                other(connection, BOOK, key="k"),
            ]

        assert [call.repeated for call in calls] == [False] * 4
        assert orders(engine) == 4

    def test_repeated_calls_are_counted_under_their_operation(self, engine: Engine) -> None:
        metrics = build_metrics(CollectorRegistry())
        for _ in range(3):
            with engine.begin() as connection:
                place_order(connection, BOOK, key="k", hits=metrics.idempotent_hits)

        labels = {"operation": "orders.place"}
        assert metrics.registry.get_sample_value("idempotent_hits_total", labels) == 2

    def test_an_operation_keeps_the_name_and_text_of_its_effect(self) -> None:
        assert place_order.operation == "orders.place"
        assert getattr(place_order, "__name__", None) == "insert_order"
        assert place_order.__doc__ == "Insert an order and return its number."


@dataclass(frozen=True)
class Coordinates:
    x: int
    y: int


class TestValues:
    def test_request_and_result_may_be_any_values(self, engine: Engine) -> None:
        def mirror(_: Connection, asked: Coordinates) -> Coordinates:
            return Coordinates(-asked.x, -asked.y)

        mirror_once = idempotent(
            "mirror",
            describe=lambda asked: [asked.x, asked.y],
            encode=lambda made: {"x": made.x, "y": made.y},
            decode=lambda stored: Coordinates(**stored),
        )(mirror)

        with engine.begin() as connection:
            calls = [mirror_once(connection, Coordinates(1, 2), key="k") for _ in range(2)]
            with pytest.raises(KeyReused):
                mirror_once(connection, Coordinates(2, 1), key="k")

        assert [call.result for call in calls] == [Coordinates(-1, -2)] * 2

    @pytest.mark.parametrize(
        "value", [None, True, "", "\0", "\ud800", "\U0001f600", 10**40, -0.5, [], {"": [{}]}]
    )
    def test_any_json_value_comes_back_as_it_was(self, engine: Engine, value: object) -> None:
        echo: Idempotent[object, object] = idempotent("echo")(lambda _, asked: asked)

        with engine.begin() as connection:
            calls = [echo(connection, value, key="k") for _ in range(2)]

        assert [(call.result, call.repeated) for call in calls] == [(value, False), (value, True)]

    def test_the_first_result_equals_the_repeated_one(self, engine: Engine) -> None:
        pair: Idempotent[object, object] = idempotent("pair")(lambda *_: (1, 2))

        with engine.begin() as connection:
            calls = [pair(connection, None, key=key) for key in ("k", "k", None)]

        assert [call.result for call in calls] == [[1, 2]] * 3

    @pytest.mark.parametrize("value", [float("nan"), {1, 2}])
    def test_a_result_that_is_no_json_is_a_mistake_that_leaves_nothing(
        self, engine: Engine, value: object
    ) -> None:
        def fail(connection: Connection, order: dict[str, Any]) -> object:
            insert_order(connection, order)
            return value

        with pytest.raises((TypeError, ValueError)), engine.begin() as connection:
            idempotent("fail")(fail)(connection, BOOK, key="k")

        assert (orders(engine), keys(engine)) == (0, 0)


class TestTransaction:
    def test_what_is_rolled_back_leaves_the_key_free(self, engine: Engine) -> None:
        with engine.connect() as connection:
            place_order(connection, BOOK, key="k")
            connection.rollback()

        assert (orders(engine), keys(engine)) == (0, 0)
        assert not place(engine, item="another").repeated

    def test_an_effect_that_fails_may_be_tried_again(self, engine: Engine) -> None:
        with pytest.raises(KeyError, match="item"):
            place(engine, nothing=1)

        assert not place(engine).repeated

    def test_a_call_whose_first_is_not_over_is_reported_at_once(self, engine: Engine) -> None:
        with engine.connect() as holder:
            place_order(holder, BOOK, key="k")
            with pytest.raises(InFlight, match="with the key k is not over"):
                place(engine)
            assert not place(engine, "k2").repeated
            holder.commit()

        assert place(engine).repeated
        assert orders(engine) == 2

    def test_a_call_that_was_given_up_keeps_no_claim(self, engine: Engine) -> None:
        with engine.connect() as holder:
            place_order(holder, BOOK, key="k")
            holder.invalidate()  # closes the connection, as the death of its process does

        def placed() -> bool:
            with suppress(InFlight):
                return not place(engine).repeated
            return False

        until(placed)
        assert orders(engine) == 1

    def test_a_key_may_be_repeated_within_its_transaction(self, engine: Engine) -> None:
        with engine.begin() as connection:
            calls = [place_order(connection, BOOK, key="k") for _ in range(2)]

        assert [call.repeated for call in calls] == [False, True]
        assert orders(engine) == 1

    def test_an_effect_that_calls_itself_with_its_own_key_changes_nothing(
        self, engine: Engine
    ) -> None:
        def nest(connection: Connection, order: dict[str, Any]) -> int:
            if order.get("depth"):
                return insert_order(connection, order)
            return nested(connection, order | {"depth": 1}, key="k").result

        nested = idempotent("nested")(nest)

        with pytest.raises(InFlight), engine.begin() as connection:
            nested(connection, BOOK, key="k")

        assert (orders(engine), keys(engine)) == (0, 0)

    def test_in_autocommit_nothing_happens(self, engine: Engine) -> None:
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

        with pytest.raises(NoTransaction, match="never in autocommit"):
            place(autocommit)

        assert orders(engine) == 0

    def test_a_snapshot_from_before_the_first_call_has_no_second_effect(
        self, engine: Engine
    ) -> None:
        repeatable = engine.execution_options(isolation_level="REPEATABLE READ")
        with repeatable.connect() as connection:
            connection.execute(text("SELECT count(*) FROM orders"))
            place(engine)
            with pytest.raises(OperationalError, match="could not serialize"):
                place_order(connection, BOOK, key="k")

        assert orders(engine) == 1

    def test_many_calls_at_once_have_one_effect(self, engine: Engine) -> None:
        for round_number in range(10):
            start = Barrier(8)

            def call(key: str = f"k{round_number}", start: Barrier = start) -> str:
                start.wait()
                try:
                    return "repeated" if place(engine, key).repeated else "first"
                except InFlight:
                    return "in flight"

            with ThreadPoolExecutor(8) as threads:
                ended = Counter(each.result() for each in [threads.submit(call) for _ in range(8)])

            assert ended["first"] == 1
            assert orders(engine) == keys(engine) == round_number + 1

    def test_it_holds_behind_a_pooler(
        self, engine: Engine, database: str, pooler: PgBouncer
    ) -> None:
        pooled = engine_for(pooler.url_of(database), application_name="tests")
        try:
            first, again = place(pooled), place(pooled)
            with pooled.connect() as holder:
                place_order(holder, BOOK, key="k2")
                with pytest.raises(InFlight):
                    place(pooled, "k2")
        finally:
            pooled.dispose()

        assert (first.repeated, again.repeated) == (False, True)
        assert orders(engine) == 1


class TestExpiry:
    def test_a_key_lasts_a_day(self, engine: Engine) -> None:
        place(engine)

        with engine.connect() as connection:
            query = text("SELECT expires_at - created_at FROM idempotency_keys")
            assert connection.scalar(query) == KEPT == timedelta(days=1)

    def test_an_expired_key_is_new_also_for_another_request(self, engine: Engine) -> None:
        place(engine)
        expire_all(engine)

        call = place(engine, item="pen")

        assert call == CallResult(result=2, repeated=False)
        assert place(engine, item="pen") == CallResult(result=2, repeated=True)
        assert keys(engine) == 1

    def test_an_operation_may_keep_its_keys_for_another_time(self, engine: Engine) -> None:
        short = idempotent("short", kept=timedelta(0))(insert_order)
        for _ in range(2):
            with engine.begin() as connection:
                assert not short(connection, BOOK, key="k").repeated

        assert orders(engine) == 2

    def test_expired_keys_are_removed_and_no_others(self, engine: Engine) -> None:
        for key in ("a", "b", "c"):
            place(engine, key)
        expire_all(engine)
        place(engine, "d")

        removed = []
        for _ in range(3):
            with engine.begin() as connection:
                removed.append(remove_expired(connection, most=2))

        assert removed == [2, 1, 0]
        assert place(engine, "d").repeated

    def test_a_key_that_is_being_replaced_is_not_waited_for(self, engine: Engine) -> None:
        place(engine)
        expire_all(engine)
        with engine.connect() as holder, engine.connect() as remover:
            place_order(holder, BOOK, key="k")
            assert remove_expired(remover) == 0
            holder.commit()

        assert place(engine).repeated

    def test_a_key_that_is_being_removed_is_waited_for_and_then_new(self, engine: Engine) -> None:
        place(engine)
        expire_all(engine)
        with ThreadPoolExecutor(1) as threads, engine.connect() as remover:
            assert remove_expired(remover) == 1
            call = threads.submit(place, engine)
            until(lambda: waiting(engine))
            remover.commit()

        assert not call.result().repeated
        assert (orders(engine), keys(engine)) == (2, 1)


def waiting(engine: Engine) -> bool:
    query = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    with engine.connect() as connection:
        return bool(connection.scalar(query))


def test_the_table_for_other_applications_is_that_of_the_migration(
    engine: Engine, postgres_server: Postgres
) -> None:
    other = engine_for(postgres_server.create_database("others"), application_name="tests")
    try:
        for _ in range(2):
            with other.begin() as connection:
                create_table(connection)
        theirs, ours = described(other), described(engine)
    finally:
        other.dispose()
        postgres_server.drop_database("others")

    assert theirs == ours


def described(engine: Engine) -> tuple[object, ...]:
    looked = inspect(engine)
    columns = [
        {name: str(value) for name, value in column.items()}
        for column in looked.get_columns("idempotency_keys")
    ]
    key = looked.get_pk_constraint("idempotency_keys")
    return columns, dict(key), looked.get_indexes("idempotency_keys")


def test_every_error_of_the_tree_says_its_status() -> None:
    statuses = {kind.__name__: kind.http_status for kind in IdempotencyError.__subclasses__()}

    assert statuses == {"InvalidKey": 400, "InFlight": 409, "KeyReused": 422, "NoTransaction": 500}
