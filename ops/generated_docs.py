"""Pages of ``docs/`` that are made from the code, so that they cannot fall behind it.

``python -m ops.generated_docs`` writes them; a test fails while one is out of date.
"""

from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

from billing.readers.reader import Told
from billing.readers.registry import PASSED_OVER, TOLD
from runtime.settings import VARIABLES, Variable

_CONFIGURATION = """\
# Configuration

Every setting comes from the environment and is read once, when a process starts. A value out of
bounds stops the start, and one message names every variable at fault. Any of them can be read from
a file instead: `NAME_FILE=/run/secrets/name` (then `NAME` itself must not be set). `paidup doctor`
shows what a deployment has and what is wrong with it.

This page is made from `runtime/settings.py` by `make docs`.

| variable | default | what it decides |
|---|---|---|
"""


def configuration() -> str:
    """One table row for each variable, in the order in which settings are judged."""
    return _CONFIGURATION + "".join(_row(variable) for variable in VARIABLES)


def _row(variable: Variable) -> str:
    # The CPU count is this machine's; the help says how it is chosen.
    computed = "Default:" in variable.help
    default = "" if computed or not variable.default else f"`{variable.default}`"
    secret = " Secret." if variable.secret else ""
    return f"| `{variable.name}` | {default} | {variable.help}{secret} |\n"


_EVENTS = """\
# Events

What Paidup does with each type of event that Stripe sends. Every event is one snapshot of one
object; what it states is read from the snapshot, in all API versions from 2014 to today alike, and
kept as a fact. Access and money follow from all facts together ([lifecycle](lifecycle.md),
[decision 4](decisions/0004-facts-then-projection.md)), so it matters neither in which order events
come nor how often. What an event can change:

- **access**: what a user is entitled to, or how far a purchase has come
- **money**: what came in, what went back, and how a payment stands
- **links**: whose something is, and which objects belong together
- **order only**: nothing by its type; one more snapshot, which may settle which one is the newest

Nearly every event carries links as well; they are named where they are all there is. `[policy]` is
the table in `plans.toml` that says what money going back ends.

This page is made from `billing/readers/registry.py` and the readers beside it by `make docs`.

"""

_OTHERS = """\
## Thin events

Thin events (`"object": "v2.core.event"`) name an object and do not contain it. With
`STRIPE_API_KEY` it is fetched, whatever the type, if it is of one of the families above; the type
then means what it means above without its `v1.`. Types that only thin events have
(`v1.customer.subscription.past_due`, `v1.invoice.line_item_added`) tell of their object as an
update does. Its state is dated by Stripe's answer and not by the event. Families that bear on
neither access nor money are recorded as `unknown_type` and not asked for; an object that is gone is
`object_gone`. Without a key every thin event is recorded as ignored with reason `needs_api_key`,
and `paidup replay --unfetched` reads it later.

With a key Stripe's API is also asked where a snapshot is not enough: for a list of features that
was cut off, for the line items of a paid checkout that names no plan, and for an object that
changed twice in one second in an order that nothing tells.

## Every other type

is accepted, recorded in `stripe_events` with outcome `ignored` and reason `unknown_type`, and
changes nothing. Of the types that one might look for above:

| types | why they change nothing here |
|---|---|
"""


def events() -> str:
    """One table for each family of objects, then why other families have none."""
    by_family = groupby(TOLD.items(), key=lambda item: item[1].reader.stripe_name)
    families = "".join(_family(dict(told)) for _, told in by_family)
    others = "".join(f"| {_code(types)} | {why} |\n" for types, why in PASSED_OVER.items())
    return _EVENTS + families + _OTHERS + others


def _family(told: Mapping[str, Told]) -> str:
    reader = next(iter(told.values())).reader
    head = f"## `{reader.stripe_name}`\n\n{reader.states}\n\n"
    rows = "".join(f"| `{name}` | {one.bears_on} | {one.says} |\n" for name, one in told.items())
    return f"{head}| event type | can change | what it tells |\n|---|---|---|\n{rows}\n"


def _code(types: str) -> str:
    return ", ".join(f"`{name}`" for name in types.split(", "))


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "events.md": events,
}


def write(folder: Path) -> None:
    """Put every page into ``folder``, replacing what stands there."""
    for name, render in PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    write(Path("docs"))
