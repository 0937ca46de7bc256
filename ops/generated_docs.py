"""Generate the pages of ``docs/`` that describe settings and event types.

``python -m ops.generated_docs`` writes them; a test fails while one is out of date.
"""

from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

from billing.readers.reader import EventType
from billing.readers.registry import EVENT_TYPES, UNHANDLED_TYPES
from runtime.settings import VARIABLES, Variable

_CONFIGURATION = """\
# Configuration

Paidup reads every setting from the environment once, when a process starts. An invalid value stops
the start, and one message names every invalid variable. Any setting can come from a file instead:
`NAME_FILE=/run/secrets/name` (then `NAME` itself must not be set). `paidup doctor` checks the
settings of a deployment.

`make docs` generates this page from `runtime/settings.py`.

| variable | default | meaning |
|---|---|---|
"""


def configuration() -> str:
    """Render one table row for each variable, in the order of validation."""
    return _CONFIGURATION + "".join(_row(variable) for variable in VARIABLES)


def _row(variable: Variable) -> str:
    # A computed default, such as the CPU count, belongs to this machine; the help explains it.
    computed = "Default:" in variable.help
    default = "" if computed or not variable.default else f"`{variable.default}`"
    secret = " Secret." if variable.secret else ""
    return f"| `{variable.name}` | {default} | {variable.help}{secret} |\n"


_EVENTS = """\
# Events

This page lists what Paidup does with each type of event that Stripe sends. Every event contains one
snapshot of one object. Paidup reads the snapshot, in every API version since 2014, and stores what
it states as a fact. It computes access and money from all facts together
([lifecycle](lifecycle.md), [decision 4](decisions/0004-facts-then-projection.md)), so neither the
order nor the number of deliveries matters. An event can change:

- **access**: a user's entitlements, or the status of a purchase
- **money**: payments, refunds and disputes
- **links**: the user or customer behind an object, and which objects belong together
- **order only**: nothing by its type; one more snapshot helps to find the newest one

Nearly every event contains links as well; the tables name them only where there is nothing else.
`[policy]` is the table in `plans.toml` that decides whether a refund or dispute ends access.

`make docs` generates this page from `billing/readers/registry.py` and the readers beside it.

"""

_OTHERS = """\
## Thin events

Thin events (`"object": "v2.core.event"`) name an object and do not contain it. With
`STRIPE_API_KEY`, Paidup fetches the object if it belongs to one of the families above. The type
then has the meaning above, without its `v1.`. Types that only thin events have
(`v1.customer.subscription.past_due`, `v1.invoice.line_item_added`) count as updates of their
object. Stripe's answer dates the state, not the event. Families without effect on access or money
are recorded as `unknown_type` and not fetched; an object that no longer exists is recorded as
`object_gone`. Without a key, Paidup records every thin event as ignored with the reason
`needs_api_key`, and `paidup replay --unfetched` reads it later.

With a key, Paidup also asks Stripe's API where a snapshot is not enough: for a list of features
that was cut off, for the line items of a paid checkout that names no plan, and for an object that
changed twice in one second in an unknown order.

## Every other type

Paidup accepts every other type, records it in `stripe_events` with the outcome `ignored` and the
reason `unknown_type`, and changes nothing. Types that you might expect above:

| types | reason |
|---|---|
"""


def events() -> str:
    """Render one table for each family of objects, then the types that change nothing."""
    by_family = groupby(EVENT_TYPES.items(), key=lambda item: item[1].reader.stripe_name)
    families = "".join(_family(dict(types)) for _, types in by_family)
    others = "".join(f"| {_code(types)} | {why} |\n" for types, why in UNHANDLED_TYPES.items())
    return _EVENTS + families + _OTHERS + others


def _family(types: Mapping[str, EventType]) -> str:
    reader = next(iter(types.values())).reader
    head = f"## `{reader.stripe_name}`\n\n{reader.describes}\n\n"
    rows = "".join(
        f"| `{name}` | {one.effect} | {one.description} |\n" for name, one in types.items()
    )
    return f"{head}| event type | can change | meaning |\n|---|---|---|\n{rows}\n"


def _code(types: str) -> str:
    return ", ".join(f"`{name}`" for name in types.split(", "))


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "events.md": events,
}


def write(folder: Path) -> None:
    """Write every page into ``folder``."""
    for name, render in PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    write(Path("docs"))
