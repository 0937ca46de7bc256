"""Many grants from a CSV file: all checked before the first is made, and safe to run again.

    file -read_file-> rows -find_users-> rows of users -check-> preview -make-> grants

Each row has an idempotency key of its own, made of the file's content and the row's number. So an
interrupted run goes on where it stopped, and a second run of the same file makes nothing twice.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from billing.ids import Realm
from billing.readers.search_terms import email_term, is_stripe_id
from ops.errors import CommandFailed
from ops.statements.grants import GrantOperations, GrantRequest, GrantResult
from ops.statements.request import read_features, read_period, read_reason, read_user
from ops.statements.users import find_user
from ops.terminal.formats import format_count
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.progress import progress
from runtime.idempotency import IdempotencyError, KeyReused
from runtime.ledger.errors import LedgerError
from runtime.ledger.record import Ledger
from runtime.settings import Settings

COLUMNS: Final = ("user", "plan", "feature", "for", "until", "from", "reason")
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_KEY: Final = 240
"""Characters of a key of a file, to which each row adds its line."""

_SHOWN_MISTAKES: Final = 20
_SCOPE: Final = "cli:file"
"""The scope of keys of files; no token of the console can have its name."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkGrant:
    """The grant of a row; ``repeated`` if an earlier run of the file made it."""

    line: int
    result: GrantResult
    repeated: bool

    def document(self) -> dict[str, Any]:
        """Return the grant as JSON."""
        return {"line": self.line, "repeated": self.repeated, **self.result.document()}


@dataclass(slots=True, kw_only=True)
class BulkResult:
    """The result of a run, in which grants may have been made by an earlier run of the file."""

    grants: list[BulkGrant] = field(default_factory=list)
    interrupted: bool = False

    @property
    def repeated(self) -> int:
        """The number of grants that an earlier run made."""
        return sum(each.repeated for each in self.grants)

    @property
    def made(self) -> int:
        """The number of grants that this run made."""
        return len(self.grants) - self.repeated


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


def find_users(
    connection: Connection, realms: Sequence[Realm], path: Path, file: BulkFile
) -> BulkFile:
    """Return the file with the users whom ids of Stripe and addresses mean, each grant once.

    Raises:
        CommandFailed: one means no user, or a grant stands there twice; the error names each row.
    """
    rows: list[BulkRow] = []
    mistakes: list[str] = []
    lines: dict[str, int] = {}
    for row in file.rows:
        try:
            found = _with_user(connection, realms, row)
        except CommandFailed as error:
            mistakes.append(f"line {row.line}: {error}")
            continue
        first = lines.setdefault(json.dumps(found.request.described()), row.line)
        if first != row.line:
            mistakes.append(
                f"line {row.line}: the same grant as in line {first}: leave it out, or give it"
                " another reason"
            )
        rows.append(found)
    _refuse(path, mistakes)
    return replace(file, rows=rows)


def _with_user(connection: Connection, realms: Sequence[Realm], row: BulkRow) -> BulkRow:
    named = row.request.user_id
    if not is_stripe_id(named) and email_term(named) is None:
        return row
    user_id = find_user(connection, realms, named, new_user=row.request.new_user)
    return replace(row, request=replace(row.request, user_id=user_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRun:
    """The grants of one file; ``key`` replaces the file's content in the keys of its rows."""

    ledger: Ledger
    grants: GrantOperations
    path: Path
    file: BulkFile
    key: str | None

    def check(self) -> list[BulkGrant]:
        """Try every row and roll it back; return what each would make, or what was made before.

        Raises:
            CommandFailed: some rows are refused; the error names each with its line.
        """
        results: list[BulkGrant] = []
        mistakes: list[str] = []
        with progress("checking", len(self.file.rows)) as report:
            for number, row in enumerate(self.file.rows, start=1):
                try:
                    results.append(self.ledger.try_out(partial(self._add, row)))
                except KeyReused:
                    mistakes.append(f"line {row.line}: {_other_options(self.key)}")
                except (CommandFailed, LedgerError, IdempotencyError) as error:
                    mistakes.append(f"line {row.line}: {error}")
                report(number)
        _refuse(self.path, mistakes)
        return results

    def make(self, checked: Sequence[BulkGrant]) -> BulkResult:
        """Make the grant of every row that has none, each in a transaction of its own."""
        result, pause = BulkResult(), Interruption().pause
        with progress("granting", len(self.file.rows)) as report:
            for number, (row, tried) in enumerate(zip(self.file.rows, checked, strict=True), 1):
                try:
                    pause(0.0)
                except Interrupted:
                    result.interrupted = True
                    break
                result.grants.append(tried if tried.repeated else self._make(row, result))
                report(number)
        return result

    def _make(self, row: BulkRow, result: BulkResult) -> BulkGrant:
        try:
            return self.ledger.transact(partial(self._add, row))
        except (CommandFailed, LedgerError, IdempotencyError) as error:
            done = format_count(len(result.grants), "grant")
            rest = f"{done} of the file are made: the same command does the rest"
            raise CommandFailed(f"line {row.line}: {error}; {rest}") from error

    def _add(self, row: BulkRow, connection: Connection) -> BulkGrant:
        key = f"{self.key or self.file.digest}/{row.line}"
        called = self.grants.add(connection, row.request, key=key, scope=_SCOPE)
        return BulkGrant(line=row.line, result=called.result, repeated=called.repeated)


def _other_options(key: str | None) -> str:
    what = "a file with this key" if key else "this file"
    return (
        f"{what} was granted before with other options or rows: repeat those, or give a new"
        " --idempotency-key"
    )


def _read_rows(
    reader: "csv.DictReader[str]", settings: Settings, given: Mapping[str, Any]
) -> tuple[list[BulkRow], list[str]]:
    reader.fieldnames = _columns(reader.fieldnames or ())
    rows: list[BulkRow] = []
    mistakes: list[str] = []
    for values in reader:
        try:
            filled = dict(_filled(values))
            if filled:
                request = _request(settings, {**_defaults(given), **filled}, given)
                rows.append(BulkRow(line=reader.line_num, request=request))
        except CommandFailed as error:
            mistakes.append(f"line {reader.line_num}: {error}")
    return rows, mistakes


def _columns(names: Sequence[str]) -> list[str]:
    """Return the names of the columns, without the spaces and capitals of a spreadsheet.

    Raises:
        CommandFailed: one is unknown or stands there twice, or none is that of users.
    """
    columns = [name.strip().lower() for name in names]
    wrong = None
    if unknown := [name for name in columns if name not in COLUMNS]:
        wrong = f"has the column {unknown[0]!r}"
        if ";" in unknown[0] or "\t" in unknown[0]:
            wrong += ": separate columns by commas"
    elif twice := [name for name in columns if columns.count(name) > 1]:
        wrong = f"has the column {twice[0]!r} twice"
    elif "user" not in columns:
        wrong = "has no column user"
    if wrong:
        raise CommandFailed(f"the file {wrong}; columns: {_listed()}")
    return columns


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


def _filled(values: Mapping[str | None, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a row that say something; the row's own end replaces a default.

    Raises:
        CommandFailed: there are more fields than columns.
    """
    if any(each.strip() for each in values.get(None, ())):
        raise CommandFailed("more fields than columns")
    filled = {
        name: text
        for name, value in values.items()
        if name is not None and (text := (value or "").strip())
    }
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
    if not row.get("reason"):
        raise CommandFailed("it gives no reason, and there is no --reason")
    features = [each for each in row.get("feature", "").split(";") if each.strip()]
    return GrantRequest(
        user_id=read_user(row["user"]),
        plan_code=row.get("plan") or None,
        features=read_features(features),
        starts_at=starts_at,
        lasts=lasts,
        until=until,
        actor=given["actor"],
        reason=read_reason(row["reason"]),
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
