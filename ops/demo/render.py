"""What people see of the demonstration: one line for each thing, as soon as it is known.

No line that we compose is wider than 80 columns, unless a value in it is.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from ops.demo.metrics import Readings
from ops.demo.observation import Observed
from ops.demo.result import Account, Act, Delivered, Knock, act_problems, result_of
from ops.send.delivery import Answer
from ops.terminal.formats import money

WIDTH = 80
_LABEL = 8
_TYPE = 29
"""As long as the longest event type and action that a lifecycle has."""

_Row = tuple[str, str, str]
"""A label, what identifies a row, and its text."""


def demo_console(*, stderr: bool) -> Console:
    """Return where the demonstration prints; 80 columns and plain text without a terminal."""
    terminal = Console(stderr=stderr, highlight=False)
    return (
        terminal if terminal.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH)
    )


class Screen:
    """Prints each fact once; ``heard`` is called whenever something was printed."""

    def __init__(self, console: Console, *, heard: Callable[[], None] = lambda: None) -> None:
        self._console = console
        self._heard = heard
        self._shown: dict[tuple[str, str], str] = {}

    def heading(self, title: str) -> None:
        """Begin a part of the demonstration."""
        self._print(Text(f"\n{title}", style="bold"))

    def act(self, number: int, act: Act) -> None:
        """Begin a lifecycle, whose rows have nothing to do with those shown before."""
        self._shown.clear()
        self.heading(f"{number}. {act.title}")

    def sent(self, delivered: Delivered) -> None:
        """Show an event and the answer to it."""
        event, answer = delivered.event, delivered.answer
        self._line("sent", f"{_event(event.type, event.id)} {answer.status} {_status(answer)}")

    def rows(self, act: Act, observed: Observed) -> None:
        """Show the events that have been settled since, and every row that is new or changed."""
        types = {delivered.event.id: delivered.event.type for delivered in act.deliveries}
        settled = [
            ("settled", event_id, f"{_event(types[event_id], event_id)} {outcome}")
            for event_id, outcome in act.outcomes.items()
        ]
        rows = [*settled, *_rows(observed)]
        for label, key, text in rows:
            if self._shown.get((label, key)) != text:
                self._shown[label, key] = text
                self._line(label, text)
        gone = self._shown.keys() - {(label, key) for label, key, _ in rows}
        for label, key in sorted(gone):
            del self._shown[label, key]
            self._line(label, f"{key}: this row is no longer there")

    def told(self, act: Act) -> None:
        """Show what the read API says, and what the whole lifecycle has come to."""
        user = act.expected.user_id
        self._line("read", f"GET /v1/users/{user}/entitlements\n{_cell(act.told_features)}")
        if wrong := list(act_problems(act)):
            self._problems(wrong)
            return
        text = f"{user} has paid and may use: {_cell(act.told_features)}"
        self._print(Text(text, style="green"))

    def first_paid(self, account: Account) -> None:
        """Show how long it took until the first paid user was shown."""
        after = f"{account.first_paid_seconds:.1f} s after the start"
        self._print(Text(f"This is the first paid user, {after}."))

    def knock(self, knock: Knock) -> None:
        """Show a request that must not pass, or not twice, and the answer to it."""
        self._line("sent", f"{knock.title}\n{knock.answer.status} {_gist(knock.answer)}")

    def metrics(self, metrics: Readings) -> None:
        """Show how far the counters moved."""
        self.heading("Metrics that moved")
        for name, step in _by_outcome(metrics).items():
            self._line(f"{step:+g}", name)

    def verdict(self, account: Account) -> None:
        """Show what it comes to."""
        self.heading("Summary")
        if account.problems:
            self._problems(account.problems)
            return
        outcomes = [outcome for act in account.acts for outcome in act.outcomes.values()]
        each = ", ".join(f"{outcomes.count(each)} {each}" for each in sorted(set(outcomes)))
        paid = f"{len(account.acts)} users have what they paid for"
        first = f"the first was shown {account.first_paid_seconds:.1f} s after the start"
        self._print(Text(f"{paid}; {first}."))
        self._print(Text(f"{account.sent} events were sent, and each was settled once: {each}."))
        refused = f"{len(account.knocks)} requests that must not pass, or not twice, did not"
        self._print(Text(f"{refused}."))

    def _problems(self, problems: Sequence[str]) -> None:
        self._print(Text(f"{len(problems)} checks failed:", style="bold red"))
        for problem in problems:
            self._print(Text(f"  - {problem}"))

    def _line(self, label: str, text: str) -> None:
        """Print a label and the text beside it; what does not fit goes on below the text."""
        lines = [
            piece
            for line in text.split("\n")
            for piece in (wrap(line, self._console.width - _LABEL, **_WRAPPING) or [""])
        ]
        indented = f"\n{' ' * _LABEL}".join(lines)
        self._print(Text.assemble((label.ljust(_LABEL), "cyan"), indented))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
        self._heard()


_WRAPPING: Mapping[str, Any] = {
    "break_long_words": False,
    "break_on_hyphens": False,
    "drop_whitespace": True,
    "replace_whitespace": False,
}


def _event(event_type: str, event_id: str) -> str:
    return f"{event_type:{_TYPE}} {event_id}"


def _rows(observed: Observed) -> Iterator[_Row]:
    for row in observed.audit:
        yield "audit", str(row["id"]), f"{row['action']:{_TYPE}} {row['target_id']}"
    for row in observed.grants:
        key = f"{row['source']}/{row['plan_code']}"
        yield "grant", key, "\n".join(_grant(row))
    for row in observed.payments:
        yield "payment", row["payment_ref"], _payment(row)
    for row in observed.payment_events:
        booked = money(row["amount_minor"], row["currency"])
        yield "booked", str(row["id"]), f"{row['kind']:9} {booked:>12} {row['payment_ref']}"


def _grant(row: Mapping[str, Any]) -> Iterator[str]:
    state = "active" if row["active"] else "not active"
    ends = f" until {row['expires_at']}" if row["expires_at"] else ""
    yield f"{row['plan_code']}, {state}{ends}: {_cell(row['entitlements'])}"
    yield f"because: {row['because']}"


def _payment(row: Mapping[str, Any]) -> str:
    amount = money(row["amount_minor"], row["currency"])
    returned = row["amount_refunded_minor"]
    back = f", {money(returned, row['currency'])} refunded" if returned else ""
    return f"{amount} {row['status']}{back} {row['payment_ref']}"


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(held)}" for name, held in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def _status(answer: Answer) -> str:
    """The word in the body; the whole body of every answer is in the JSON."""
    document = answer.document
    return str(document.get("status")) if isinstance(document, dict) else answer.said


def _gist(answer: Answer) -> str:
    """What a problem document says, and the cached result of what was done before."""
    document = answer.document
    if isinstance(document, dict) and "title" in document:
        return f"{document['title']}: {document.get('detail')}"
    result = result_of(answer)
    return f"its cached result: {_cell(result)}" if result else answer.said


def _by_outcome(metrics: Readings) -> dict[str, float]:
    """The steps with the event types added up: there are more of them than a screen has lines."""
    steps: dict[str, float] = {}
    for name, step in metrics.items():
        shorter = re.sub(r'event_type="[^"]*",', "", name)
        steps[shorter] = steps.get(shorter, 0.0) + step
    return steps
