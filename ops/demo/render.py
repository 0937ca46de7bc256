"""Print the demo as it runs, one line for each fact as soon as it is known.

No line is wider than 80 columns, unless a value in it is.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import TextWrapper
from typing import Any

from rich.console import Console
from rich.text import Text

from ops.demo.metrics import Readings
from ops.demo.observation import Observed
from ops.demo.result import (
    Delivered,
    DemoResult,
    DemoStep,
    RejectionCheck,
    step_problems,
)
from ops.send.delivery import EndpointResponse
from ops.terminal.formats import (
    format_count,
    format_stopwatch,
    format_time,
)
from ops.terminal.money import format_money, format_payment

WIDTH = 80
_LABEL = 8
_TYPE = 29
"""The length of the longest event type or action of a lifecycle."""

_Row = tuple[str, str, str]
"""A label, what identifies a row, and its text."""


class Screen:
    """Prints each fact once, and calls ``on_print`` after every line."""

    def __init__(self, console: Console, *, on_print: Callable[[], None] = lambda: None) -> None:
        self._console = console
        self._on_print = on_print
        self._shown: dict[tuple[str, str], str] = {}
        self._wrapper = TextWrapper(
            console.width - _LABEL,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        )

    def heading(self, title: str) -> None:
        """Begin a part of the demo."""
        self._print(Text(f"\n{title}", style="bold"))

    def step(self, number: int, step: DemoStep) -> None:
        """Begin a lifecycle, with no rows shown yet."""
        self._shown.clear()
        self.heading(f"{number}. {step.title}")

    def sent(self, delivered: Delivered) -> None:
        """Show an event and the response to it."""
        event, answer = delivered.event, delivered.answer
        said = answer.field("status") or answer.said
        self._line("sent", f"{_event(event.type, event.id)} {answer.status} {said}")

    def rows(self, step: DemoStep, observed: Observed) -> None:
        """Show events settled since the last call, and every row that is new or changed."""
        types = {delivered.event.id: delivered.event.type for delivered in step.deliveries}
        settled = [
            ("settled", event_id, f"{_event(types[event_id], event_id)} {outcome}")
            for event_id, outcome in step.outcomes.items()
        ]
        rows = [*settled, *_rows(observed)]
        for label, key, text in rows:
            if self._shown.get((label, key)) != text:
                self._shown[label, key] = text
                self._line(label, text)
        gone = self._shown.keys() - {(label, key) for label, key, _ in rows}
        for label, key in sorted(gone):
            del self._shown[label, key]
            self._line(label, f"{key}: this row is gone")

    def read_response(self, step: DemoStep) -> None:
        """Show the answer of the read API, and the result of the lifecycle."""
        user = step.expected.user_id
        self._line("read", f"GET /v1/users/{user}/entitlements\n{_cell(step.read_features)}")
        if wrong := list(step_problems(step)):
            self._problems(wrong)
            return
        text = f"{user} has paid and may use: {_cell(step.read_features)}"
        self._print(Text(text, style="green"))

    def first_paid(self, result: DemoResult) -> None:
        """Show the seconds from the start to the first paid user."""
        after = f"{format_stopwatch(result.first_paid_seconds)} after the start"
        self._print(Text(f"This is the first paid user, {after}."))

    def rejection(self, check: RejectionCheck) -> None:
        """Show a request that must be rejected, or not applied twice, and the response to it."""
        self._line("sent", f"{check.title}\n{check.answer.status} {_gist(check.answer)}")

    def metrics(self, metrics: Readings) -> None:
        """Show the changes of the counters."""
        self.heading("Metrics that moved")
        for name, step in _by_outcome(metrics).items():
            self._line(f"{step:+g}", name)

    def verdict(self, result: DemoResult) -> None:
        """Show the summary."""
        self.heading("Summary")
        if result.problems:
            self._problems(result.problems)
            return
        outcomes = [outcome for step in result.steps for outcome in step.outcomes.values()]
        each = ", ".join(f"{outcomes.count(each)} {each}" for each in sorted(set(outcomes)))
        paid = f"{len(result.steps)} users have what they paid for"
        first = f"the first one after {format_stopwatch(result.first_paid_seconds)}"
        self._print(Text(f"{paid}; {first}."))
        self._print(Text(f"Paidup settled each of the {result.sent} events once: {each}."))
        rejected = f"{len(result.rejections)} requests were rejected or deduplicated"
        self._print(Text(f"{rejected}, as they must be."))

    def _problems(self, problems: Sequence[str]) -> None:
        self._print(Text(f"{format_count(len(problems), 'check')} failed:", style="bold red"))
        for problem in problems:
            self._print(Text(f"  - {problem}"))

    def _line(self, label: str, text: str) -> None:
        """Print a label and the text beside it, wrapped below the text."""
        lines = [piece for line in text.split("\n") for piece in (self._wrapper.wrap(line) or [""])]
        indented = f"\n{' ' * _LABEL}".join(lines)
        self._print(Text.assemble((label.ljust(_LABEL), "cyan"), indented))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
        self._on_print()


def _event(event_type: str, event_id: str) -> str:
    return f"{event_type:{_TYPE}} {event_id}"


def _rows(observed: Observed) -> Iterator[_Row]:
    for row in observed.audit:
        yield "audit", str(row["id"]), f"{row['action']:{_TYPE}} {row['target_id']}"
    for row in observed.grants:
        key = f"{row['source']}/{row['plan_code']}"
        yield "grant", key, "\n".join(_grant(row))
    for row in observed.payments:
        amounts = (row["amount_minor"], row["amount_refunded_minor"], row["currency"])
        paid = format_payment(*amounts, row["status"])
        yield "payment", row["payment_ref"], f"{paid} {row['payment_ref']}"
    for row in observed.payment_events:
        booked = format_money(row["amount_minor"], row["currency"])
        yield "booked", str(row["id"]), f"{row['kind']:9} {booked:>12} {row['payment_ref']}"


def _grant(row: Mapping[str, Any]) -> Iterator[str]:
    state = "active" if row["active"] else "not active"
    ends = f" until {format_time(row['expires_at'])}" if row["expires_at"] else ""
    yield f"{row['plan_code']}, {state}{ends}: {_cell(row['entitlements'])}"
    yield f"because: {row['because']}"


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(held)}" for name, held in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def _gist(answer: EndpointResponse) -> str:
    """Return the title and detail of a problem document, or the cached result."""
    if title := answer.field("title"):
        return f"{title}: {answer.field('detail')}"
    result = answer.field("result")
    return f"its cached result: {_cell(result)}" if result else answer.said


def _by_outcome(metrics: Readings) -> dict[str, float]:
    """Sum the changes over event types, of which there are more than a screen has lines."""
    steps: dict[str, float] = defaultdict(float)
    for name, step in metrics.items():
        steps[re.sub(r'event_type="[^"]*",', "", name)] += step
    return steps
