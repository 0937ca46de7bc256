"""Read which customer is which user from a CSV file: the link that Stripe does not know.

Every line is checked before anything is asked of Stripe.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from billing.readers.search_terms import is_stripe_id
from billing.text import storable
from ops.errors import CommandFailed
from ops.statements.request import read_user

COLUMNS: Final = ("customer", "user")
MAX_FILE_BYTES: Final = 256 * 1024 * 1024

_CUSTOMER: Final = "cus_"
_SHOWN_MISTAKES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedUser:
    """A line of the file: the id of a customer at Stripe, and your id of its user."""

    line: int
    customer: str
    user_id: str


def read_users(path: Path) -> tuple[MappedUser, ...]:
    """Return the lines of a file whose first line names the columns ``customer`` and ``user``.

    Raises:
        CommandFailed: lines have mistakes; the error names each by its number.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CommandFailed(f"{path} is larger than {MAX_FILE_BYTES} bytes: split it")
    try:
        content = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
        mistakes: list[str] = []
        rows = [*_read_rows(reader, mistakes)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"{path} is no CSV file in UTF-8: {error}") from error
    refuse_lines(path, [*mistakes, *_named_twice(rows)])
    if not rows:
        raise CommandFailed(f"{path} has no lines below its first, which names the columns")
    return tuple(rows)


def refuse_lines(path: Path, mistakes: Sequence[str]) -> None:
    """Raise ``CommandFailed`` if there are mistakes, each a sentence that begins with its line."""
    if mistakes:
        shown = "\n".join(mistakes[:_SHOWN_MISTAKES])
        more = len(mistakes) - _SHOWN_MISTAKES
        rest = f"\nand {more} more" if more > 0 else ""
        raise CommandFailed(f"nothing was read or linked; mistakes in {path}:\n{shown}{rest}")


def _read_rows(reader: "csv.DictReader[str]", mistakes: list[str]) -> Iterator[MappedUser]:
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    if sorted(reader.fieldnames) != sorted(COLUMNS):
        listed = ", ".join(reader.fieldnames) or "nothing"
        raise CommandFailed(
            f"the first line of the file is {COLUMNS[0]},{COLUMNS[1]}, not {listed}"
        )
    for values in reader:
        try:
            yield _read_row(reader.line_num, values)
        except CommandFailed as error:
            mistakes.append(f"line {reader.line_num}: {error}")


def _read_row(line: int, values: Mapping[str | None, Any]) -> MappedUser:
    if values.get(None):
        raise CommandFailed("more fields than columns")
    customer = storable(values["customer"] or "").strip()
    if not (customer.startswith(_CUSTOMER) and is_stripe_id(customer)):
        raise CommandFailed(f"{customer!r} is no id of a customer, which begins with {_CUSTOMER}")
    user_id = read_user(storable(values["user"] or ""))
    if is_stripe_id(user_id):
        raise CommandFailed(f"{user_id!r} is an id of Stripe, and no id of a user")
    return MappedUser(line=line, customer=customer, user_id=user_id)


def _named_twice(rows: Sequence[MappedUser]) -> Iterator[str]:
    first: dict[str, MappedUser] = {}
    for row in rows:
        other = first.setdefault(row.customer, row)
        if other is not row:
            yield f"line {row.line}: {row.customer} is in line {other.line}, too: leave one out"
