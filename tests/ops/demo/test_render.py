import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from ops.demo.observation import Observed
from ops.demo.render import WIDTH, Screen
from ops.demo.result import DemoStep, RejectionCheck
from ops.terminal.output import console as make_console
from tests.ops.demo.demo_process import (
    CHECKOUT,
    NOTHING,
    REFERENCE,
    answer,
    as_it_must_be,
    observed,
)


class RenderedDemo:
    """A screen of 80 columns with one lifecycle on it."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.printed = 0
        console = Console(file=self._file, width=WIDTH)
        self.screen = Screen(console, on_print=self._count)
        self.result = as_it_must_be()
        self.step: DemoStep = self.result.steps[0]

    def _count(self) -> None:
        self.printed += 1

    @property
    def said(self) -> str:
        """The output since the last call."""
        text = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return text

    def rows(self, seen: Observed) -> list[str]:
        self.screen.rows(self.step, seen)
        return self.said.splitlines()


def changed(row: Mapping[str, Any], **columns: object) -> tuple[Mapping[str, Any]]:
    return ({**row, **columns},)


def test_a_sent_event_is_a_line_with_its_answer() -> None:
    demo = RenderedDemo()

    demo.screen.sent(demo.step.deliveries[0])

    event = CHECKOUT.events[0]
    assert demo.said == f"sent    {event.type:29} {event.id} 202 accepted\n"
    assert demo.printed == 1


def test_each_row_is_shown_once_and_again_when_it_has_changed() -> None:
    demo, seen = RenderedDemo(), observed()

    first = demo.rows(seen)
    assert first == [
        f"settled checkout.session.completed    {CHECKOUT.events[0].id} applied",
        "audit   a                             c",
        "grant   premium, active: signals_enabled=true, max_devices=5",
        "        because: paid [because]",
        f"payment 29.99 USD succeeded {REFERENCE}",
        f"booked  received     29.99 USD {REFERENCE}",
    ]
    assert demo.rows(seen) == []

    refunded = changed(seen.payments[0], amount_refunded_minor=999)
    ended = changed(seen.grants[0], active=False)
    assert demo.rows(replace(seen, payments=refunded, grants=ended)) == [
        "grant   premium, not active: signals_enabled=true, max_devices=5",
        "        because: paid [because]",
        f"payment 29.99 USD succeeded, 9.99 USD refunded {REFERENCE}",
    ]


def test_a_row_that_is_gone_is_reported() -> None:
    demo, seen = RenderedDemo(), observed()
    demo.rows(seen)

    assert demo.rows(replace(seen, payments=())) == [f"payment {REFERENCE}: this row is gone"]


def test_a_second_lifecycle_begins_without_the_rows_of_the_first() -> None:
    demo = RenderedDemo()
    demo.rows(observed())

    demo.screen.step(2, demo.step)

    assert demo.said == "\n2. A step\n"
    demo.step.outcomes.clear()
    assert demo.rows(NOTHING) == []


def test_what_the_read_api_says_ends_a_lifecycle() -> None:
    demo = RenderedDemo()

    demo.screen.read_response(demo.step)
    demo.screen.first_paid(demo.result)

    said = demo.said
    assert "read    GET /v1/users/usr_123/entitlements\n" in said
    assert "usr_123 has paid and may use: signals_enabled=true, max_devices=5" in said
    assert "the first paid user, 4.5 s after the start" in said


def test_a_lifecycle_that_went_wrong_says_so_at_once() -> None:
    demo = RenderedDemo()
    demo.step.read_response = answer(404, {"detail": "never heard of"})

    demo.screen.read_response(demo.step)

    said = demo.said
    assert "has paid" not in said
    assert "the read API says never heard of" in said


@pytest.mark.parametrize("well", [True, False])
def test_the_verdict_names_what_is_wrong(*, well: bool) -> None:
    demo = RenderedDemo()
    demo.result.problems = [] if well else ["the [sky] fell"]

    demo.screen.verdict(demo.result)

    said = demo.said
    assert ("Paidup settled each of the 1 events once: 1 applied." in said) is well
    assert ("the [sky] fell" in said) is not well


def test_what_must_not_pass_and_the_counters_fit_into_80_columns() -> None:
    demo = RenderedDemo()
    said_no = answer(403, {"title": "Signature mismatch", "detail": "It is too long, " * 9})

    demo.screen.rejection(
        RejectionCheck(title="signed with a guessed secret", must=403, answer=said_no)
    )
    demo.screen.rejection(demo.result.rejections[0])
    demo.screen.metrics(demo.result.metrics)

    lines = demo.said.splitlines()
    assert max(len(line) for line in lines) <= WIDTH
    assert lines[0] == "sent    signed with a guessed secret"
    assert lines[1].startswith("        403 Signature mismatch: It is too long,")
    assert "        200 its cached result: outcome=applied" in lines
    assert '+1      billing_events_settled_total{outcome="applied"}' in lines


def test_without_a_terminal_there_are_80_columns_and_no_colours() -> None:
    console = make_console(width=WIDTH)

    assert (console.width, console.is_terminal) == (WIDTH, False)
