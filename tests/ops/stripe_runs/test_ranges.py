"""Parts are split where most seems to be left, and what is read of them never overlaps."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.fetching.record import read_response
from ops.stripe_runs.lists import EVENTS, FEATURES, Span, StripeList
from ops.stripe_runs.pages import ListPage, read_page
from ops.stripe_runs.ranges import (
    FIRST_SECOND,
    ListPart,
    after_page,
    largest,
    seem_left,
    split,
    without_cursor,
)
from runtime.json_text import write_json

PART = ListPart(list="events", position=0, span=Span(oldest=1_000, newest=2_000))


def page(*created: int, has_more: bool = False, of: StripeList = EVENTS) -> ListPage:
    data: list[dict[str, Any]] = [
        {"id": f"evt_{number}", "created": at} for number, at in enumerate(created)
    ]
    at = datetime(2026, 11, 1, tzinfo=UTC)
    body = write_json({"object": "list", "data": data, "has_more": has_more})
    return read_page(of, 0, read_response("/v1/events", 200, at, body))


def test_what_is_left_ends_with_the_second_of_the_last_object() -> None:
    read, kept = after_page(PART, page(1_990, 1_951, has_more=True))

    assert (read.cursor, read.span) == ("evt_1", Span(oldest=1_000, newest=1_951))
    assert (read.pages, read.objects, read.done) == (1, 2, False)
    assert read.density == pytest.approx(2 / 50)
    assert len(kept.objects) == 2


def test_a_page_without_more_ends_the_part() -> None:
    read, _ = after_page(PART, page(1_990))

    assert read.done


def test_an_empty_page_ends_the_part_where_it_was() -> None:
    read, _ = after_page(PART, page())

    assert (read.done, read.cursor, read.span) == (True, None, PART.span)


def test_objects_that_belong_to_another_part_by_now_are_left_to_it() -> None:
    narrowed = replace(PART, span=Span(oldest=1_900, newest=2_000))

    read, kept = after_page(narrowed, page(1_950, 1_900, 1_899, has_more=True))

    assert [each["id"] for each in kept.objects] == ["evt_0", "evt_1"]
    assert (read.done, read.objects) == (True, 2)


def test_a_list_without_times_has_nothing_but_a_cursor() -> None:
    part = ListPart(list="features", position=0, span=Span())

    read, _ = after_page(part, page(5, 9, has_more=True, of=FEATURES))

    assert (read.cursor, read.span, read.density) == ("evt_1", Span(), None)
    assert seem_left(read) == 0


def test_a_cursor_that_stripe_forgot_leaves_the_second_to_be_read_again() -> None:
    read, _ = after_page(PART, page(1_990, 1_951, has_more=True))

    assert without_cursor(read) == replace(read, cursor=None)


def dense(density: float | None, oldest: int | None = 0, newest: int = 10_000) -> ListPart:
    return replace(PART, span=Span(oldest=oldest, newest=newest), density=density)


class TestTheLargestPart:
    def test_is_the_one_with_the_most_left_by_its_density(self) -> None:
        short, long = dense(1.0, oldest=9_000), dense(0.2)

        assert largest([short, long]) is long

    @pytest.mark.parametrize(
        "part",
        [
            dense(0.02),
            dense(None),
            replace(dense(9.0), done=True),
            replace(dense(9.0), waits=True),
            dense(9_000.0, oldest=10_000),
        ],
        ids=["few left", "nothing read yet", "done", "the live edge", "one second"],
    )
    def test_is_none_if_none_is_worth_a_request(self, part: ListPart) -> None:
        assert largest([part]) is None


class TestASplit:
    def test_leaves_no_second_out_and_none_twice(self) -> None:
        part = replace(dense(1.0, oldest=1_000, newest=1_999), cursor="evt_9", pages=3)

        newer, older = split(part, 4)

        assert newer == replace(part, span=Span(oldest=1_500, newest=1_999))
        assert older == ListPart(list="events", position=4, span=Span(oldest=1_000, newest=1_499))

    def test_of_a_part_without_an_oldest_second_is_between_stripes_first_and_what_is_left(
        self,
    ) -> None:
        newer, older = split(dense(1.0, oldest=None, newest=FIRST_SECOND + 100), 1)

        assert newer.span.oldest == FIRST_SECOND + 51
        assert older.span == Span(oldest=None, newest=FIRST_SECOND + 50)

    def test_of_one_second_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no second to split at"):
            split(dense(1.0, oldest=5, newest=5), 1)
