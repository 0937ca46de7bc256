"""Generate the tables of settings and event types in ``docs/``.

``python -m ops.generated_docs`` writes them into the marked parts of the pages; a test fails while
one is out of date.
"""

import re
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

from billing.readers.reader import EventType
from billing.readers.registry import EVENT_TYPES, REQUIRED_TYPES, UNHANDLED_TYPES
from runtime.settings import VARIABLES, Variable

PAGES = ("configuration.md", "events.md")

_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def settings_table() -> str:
    """Render one row for each variable, in the order of validation."""
    rows = "".join(_row(variable) for variable in VARIABLES)
    return f"| variable | default | meaning |\n|---|---|---|\n{rows}"


def _row(variable: Variable) -> str:
    # A computed default, such as the CPU count, belongs to this machine; the help explains it.
    computed = "Default:" in variable.help
    default = "" if computed or not variable.default else f"`{variable.default}`"
    secret = " Secret." if variable.secret else ""
    return f"| `{variable.name}` | {default} | {variable.help}{secret} |\n"


def required_types() -> str:
    """Render the types that an endpoint must have: to paste, and with what is lost without each."""
    options = "".join(f'  -d "enabled_events[]={name}" \\\n' for name in REQUIRED_TYPES)
    rows = "".join(f"| `{name}` | {lost} |\n" for name, lost in REQUIRED_TYPES.items())
    return (
        "In the Dashboard, under *Workbench > Webhooks*, and for `stripe listen --events`:\n\n"
        f"```text\n{','.join(REQUIRED_TYPES)}\n```\n\n"
        "By the API:\n\n"
        '```sh\ncurl https://api.stripe.com/v1/webhook_endpoints -u "$STRIPE_API_KEY:" \\\n'
        f"{options}  -d url=https://example.com/webhooks/stripe\n```\n\n"
        f"| event type | without it |\n|---|---|\n{rows}"
    )


def handled_types() -> str:
    """Render one table of event types for each family of objects."""
    by_family = groupby(EVENT_TYPES.items(), key=lambda item: item[1].reader.stripe_name)
    return "\n".join(_family(dict(types)) for _, types in by_family)


def _family(types: Mapping[str, EventType]) -> str:
    reader = next(iter(types.values())).reader
    head = f"## `{reader.stripe_name}`\n\n{reader.describes}\n\n"
    rows = "".join(
        f"| `{name}` | {one.effect} | {one.description} |\n" for name, one in types.items()
    )
    return f"{head}| event type | can change | meaning |\n|---|---|---|\n{rows}"


def unhandled_types() -> str:
    """Render the table of the event types that change nothing."""
    rows = "".join(
        f"| `{types.replace(', ', '`, `')}` | {why} |\n" for types, why in UNHANDLED_TYPES.items()
    )
    return f"| types | reason |\n|---|---|\n{rows}"


_TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "required": required_types,
    "handled": handled_types,
    "unhandled": unhandled_types,
}


def renewed(page: str, tables: Mapping[str, Callable[[], str]] = _TABLES) -> str:
    """Return the text of a page with its marked parts generated again, by their names."""
    return _PART.sub(lambda part: f"{part[1]}{tables[part[2]]()}{part[3]}", page)


def write(folder: Path) -> None:
    """Renew every page in ``folder``."""
    for name in PAGES:
        page = folder / name
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write(Path("docs"))
