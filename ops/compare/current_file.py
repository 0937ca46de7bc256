"""Read what an application grants from a file: CSV with a line of names, or JSON Lines."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from ops.compare.current_rows import WrongRecord, check_columns, read_record
from ops.compare.sorted_rows import CurrentAccess
from ops.csv_guard import without_guard
from ops.errors import CommandFailed
from ops.terminal.standard_input import STDIN, open_input

_MISTAKES_SHOWN: Final = 20
_LONGEST_LINE: Final = 16 * 1024 * 1024


def read_file(name: str, *, wide: bool) -> Iterator[CurrentAccess]:
    """Yield every value of a file, or of standard input if it is named ``-``.

    Raises:
        CommandFailed: it cannot be read, or has mistakes; the error names each with its line.
        UsageError: standard input is a terminal.
    """
    shown = "standard input" if name == STDIN else name
    mistakes: list[str] = []
    try:
        with open_input(name) as file:
            for line, record in _records(file, wide=wide):
                try:
                    if isinstance(record, str):
                        raise WrongRecord(record)  # noqa: TRY301 - one place lists mistakes
                    yield from read_record(line, record, wide=wide)
                except WrongRecord as wrong:
                    mistakes.append(f"line {line}: {wrong}")
    except OSError as error:
        said = f"{name}: {error.strerror or error}"
        raise CommandFailed(f"{said}; name a file with what your application grants") from error
    except (WrongRecord, UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"{shown}: {_describe(error)}; nothing was compared") from error
    refuse(shown, mistakes)


def refuse(name: str, mistakes: list[str]) -> None:
    """Raise ``CommandFailed`` with the first mistakes of a list if there are any."""
    if mistakes:
        listed = "".join(f"\n  {each}" for each in mistakes[:_MISTAKES_SHOWN])
        more = len(mistakes) - _MISTAKES_SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        raise CommandFailed(f"{name} has mistakes, nothing was compared:{listed}{rest}")


def _describe(error: Exception) -> str:
    return f"it {error}" if isinstance(error, WrongRecord) else f"it is no CSV in UTF-8: {error}"


def _records(file: BinaryIO, *, wide: bool) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Yield the line and the record, or what is wrong with it."""
    start = file.read(4096).decode("utf-8-sig", "replace").lstrip()
    file.seek(0)
    return _json_records(file, wide=wide) if start[:1] == "{" else _csv_records(file, wide=wide)


def _csv_records(file: BinaryIO, *, wide: bool) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        check_columns(reader.fieldnames, wide=wide)
        for record in reader:
            yield reader.line_num, _whole(record)


def _whole(record: Mapping[str | None, Any]) -> Mapping[str, Any] | str:
    if None in record:
        return "it has more fields than the first line has names"
    if None in record.values():
        return "it has fewer fields than the first line has names"
    # As `paidup export` writes them, and others who guard spreadsheets from formulas.
    return {name: without_guard(value) for name, value in record.items() if name is not None}


def _json_records(file: BinaryIO, *, wide: bool) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    line = 0
    while text := file.readline(_LONGEST_LINE):
        line += 1
        if text.strip():
            yield line, _json_record(text.removeprefix(b"\xef\xbb\xbf"), wide=wide)


def _json_record(text: bytes, *, wide: bool) -> Mapping[str, Any] | str:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if not isinstance(record, dict):
        return "it is not a JSON object"
    try:
        check_columns(record, wide=wide)
    except WrongRecord as wrong:
        return f"it {wrong}"
    return record
