"""Turn rows into lines of CSV or of JSON. Pure.

CSV is that of RFC 4180 in UTF-8: a line of names, lines that end with CRLF, quotes where a value
needs them. User ids and reasons are texts that other people wrote, so they are guarded from
spreadsheets (``ops/csv_guard.py``). JSON has the exact texts.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ops.csv_guard import with_guard
from ops.terminal.output import to_json

ExportRow = Mapping[str, Any]
Format = Callable[[Sequence[str], Iterable[ExportRow]], Iterator[bytes]]
"""Yields one line for each row; the names of the columns come with the first line."""


def csv_lines(columns: Sequence[str], rows: Iterable[ExportRow]) -> Iterator[bytes]:
    """Yield the names of the columns, then each row."""
    yield _csv_line(columns)
    for row in rows:
        yield _csv_line([_cell(row[name]) for name in columns])


def json_lines(columns: Sequence[str], rows: Iterable[ExportRow]) -> Iterator[bytes]:
    """Yield each row as a JSON object on a line of its own."""
    for row in rows:
        document = to_json({name: row[name] for name in columns})
        # ASCII only: some readers end a line at characters such as U+2028, others do not.
        yield json.dumps(document, separators=(",", ":")).encode() + b"\n"


FORMATS: Final[Mapping[str, Format]] = {"csv": csv_lines, "jsonl": json_lines}
HEADER_LINES: Final[Mapping[str, int]] = {"csv": 1, "jsonl": 0}


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case datetime():
            return value.isoformat()
        case str():
            return with_guard(value)
        case _:
            return json.dumps(to_json(value), ensure_ascii=False, separators=(",", ":"))
