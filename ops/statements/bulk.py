"""Many grants from a CSV file: all checked before the first is made, and safe to run again.

Each row has an idempotency key of its own, made of the file's content and the row's number. So an
interrupted run goes on where it stopped, and a second run of the same file makes nothing twice.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from billing.text import storable
from ops.errors import CommandFailed
from ops.statements.grants import GrantOperations, GrantRequest, GrantResult
from ops.statements.request import read_feature, read_period
from ops.terminal.formats import format_count
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.operator_options import require_reason
from ops.terminal.progress import progress
from runtime.idempotency import CallResult, IdempotencyError
from runtime.ledger.errors import LedgerError
from runtime.ledger.record import Ledger
from runtime.settings import Settings

COLUMNS: Final = ("user", "plan", "feature", "for", "until", "from", "reason")
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_SHOWN_MISTAKES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRow:
    """One row of the file: its line, and the grant that it asks for."""

    line: int
    request: GrantRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkFile:
    """The rows of a file; ``digest`` stands for its content."""

    rows: Sequence[BulkRow]
    digest: str


@dataclass(slots=True, kw_only=True)
class BulkResult:
    """The result of a run: grants made now, and those that an earlier run of the file had made."""

    made: int = 0
    repeated: int = 0
    interrupted: bool = False


def read_file(path: Path, settings: Settings, given: Mapping[str, Any]) -> BulkFile:
    """Read a CSV file; the options of the command fill its empty columns.

    Raises:
        CommandFailed: rows have mistakes; the error names each with its line.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CommandFailed(f"{path} is larger than {MAX_FILE_BYTES} bytes: split it")
    content = path.read_bytes()
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows, mistakes = _read_rows(reader, settings, given)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"{path} is no CSV file in UTF-8: {error}") from error
    _refuse(path, mistakes)
    if not rows:
        raise CommandFailed(f"{path} has no rows; its first line names columns: {_listed()}")
    return BulkFile(rows=rows, digest=sha256(content).hexdigest()[:32])


def check_all(
    ledger: Ledger, grants: GrantOperations, path: Path, file: BulkFile
) -> list[GrantResult]:
    """Try every row and roll it back; return what each would make.

    Raises:
        CommandFailed: some rows are refused; the error names each with its line.
    """
    results: list[GrantResult] = []
    mistakes: list[str] = []
    with progress("checking", len(file.rows)) as report:
        for number, row in enumerate(file.rows, start=1):
            try:
                results.append(ledger.try_out(partial(_add, grants, row, None)).result)
            except (CommandFailed, LedgerError) as error:
                mistakes.append(f"line {row.line}: {error}")
            report(number)
    _refuse(path, mistakes)
    return results


def make_all(
    ledger: Ledger, grants: GrantOperations, file: BulkFile, key: str | None
) -> BulkResult:
    """Make the grant of every row, each in a transaction of its own."""
    result, pause = BulkResult(), Interruption().pause
    with progress("granting", len(file.rows)) as report:
        for number, row in enumerate(file.rows, start=1):
            try:
                pause(0.0)
            except Interrupted:
                result.interrupted = True
                break
            row_key = f"{key or file.digest}/{row.line}"
            called = _make(ledger, grants, row, row_key, result)
            result.repeated += called.repeated
            result.made += not called.repeated
            report(number)
    return result


def _make(
    ledger: Ledger, grants: GrantOperations, row: BulkRow, key: str, result: BulkResult
) -> CallResult[GrantResult]:
    try:
        return ledger.transact(partial(_add, grants, row, key))
    except (CommandFailed, LedgerError, IdempotencyError) as error:
        done = format_count(result.made + result.repeated, "grant")
        raise CommandFailed(
            f"line {row.line}: {error}; {done} of the file are made: the same command does the rest"
        ) from error


def _add(
    grants: GrantOperations, row: BulkRow, key: str | None, connection: Any
) -> CallResult[GrantResult]:
    return grants.add(connection, row.request, key=key, scope="bulk")


def _read_rows(
    reader: "csv.DictReader[str]", settings: Settings, given: Mapping[str, Any]
) -> tuple[list[BulkRow], list[str]]:
    unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
    if unknown or "user" not in (reader.fieldnames or ()):
        named = f"has the column {unknown[0]!r}" if unknown else "has no column user"
        raise CommandFailed(f"the file {named}; columns: {_listed()}")
    rows: list[BulkRow] = []
    mistakes: list[str] = []
    for values in reader:
        try:
            if None in values:
                raise CommandFailed("more fields than columns")  # noqa: TRY301
            request = _request(settings, {**_defaults(given), **dict(_filled(values))}, given)
            rows.append(BulkRow(line=reader.line_num, request=request))
        except CommandFailed as error:
            mistakes.append(f"line {reader.line_num}: {error}")
    return rows, mistakes


def _defaults(given: Mapping[str, Any]) -> dict[str, str]:
    words = {
        "plan": given["plan_code"],
        "feature": ";".join(given["features"]),
        "for": given["lasts"],
        "until": "forever" if given["forever"] else given["until"],
        "from": given["starts"],
        "reason": given["reason"],
    }
    return {name: value for name, value in words.items() if value}


def _filled(values: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a row that say something; the row's own end replaces a default."""
    filled = {name: text for name, value in values.items() if (text := (value or "").strip())}
    if filled.keys() & {"for", "until"}:
        filled = {"for": "", "until": "", **filled}
    if filled.keys() & {"plan", "feature"}:
        filled = {"plan": "", "feature": "", **filled}
    return iter(filled.items())


def _request(settings: Settings, row: Mapping[str, str], given: Mapping[str, Any]) -> GrantRequest:
    if not row.get("user"):
        raise CommandFailed("it names no user")
    forever = row.get("until") == "forever"
    starts_at, lasts, until = read_period(
        settings.time_zone,
        starts=row.get("from") or None,
        lasts=row.get("for") or None,
        until=None if forever else row.get("until") or None,
        forever=forever,
    )
    features = [each for each in row.get("feature", "").split(";") if each.strip()]
    return GrantRequest(
        user_id=storable(row["user"]),
        plan_code=row.get("plan") or None,
        features=dict(map(read_feature, features)),
        starts_at=starts_at,
        lasts=lasts,
        until=until,
        actor=given["actor"],
        reason=storable(require_reason(row.get("reason"))),
        test=given["test"],
        new_user=given["new_user"],
        new_feature=given["new_feature"],
    )


def _refuse(path: Path, mistakes: Sequence[str]) -> None:
    if mistakes:
        shown = "\n".join(mistakes[:_SHOWN_MISTAKES])
        more = len(mistakes) - _SHOWN_MISTAKES
        rest = f"\nand {more} more" if more > 0 else ""
        raise CommandFailed(f"nothing was granted; mistakes in {path}:\n{shown}{rest}")


def _listed() -> str:
    return ", ".join(COLUMNS)
