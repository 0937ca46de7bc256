"""Read the runs of reconciliations: what each was about, and the statement that it ended in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from models.tables import StripeRun
from ops.errors import CommandFailed
from ops.reconcile.agreement import Agreement, read_agreement
from runtime.reconciling import ComparedPart

RUNNING = "running"
_DONE = "done"


class NoSuchRun(CommandFailed):
    """No reconciliation has this number, or none has ended yet."""

    def __init__(self, run: int | None) -> None:
        self.run = run
        which = "no comparison of objects has ended" if run is None else f"there is no run {run}"
        super().__init__(f"{which}: `paidup reconcile list` shows the runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run; ``document`` is its statement as JSON values, None before its end."""

    id: int
    realm: str
    state: str
    state_reason: str | None
    actor: str
    reason: str | None
    said: Mapping[str, Any]
    started_at: datetime
    ended_at: datetime | None
    requests: int
    document: Mapping[str, Any] | None

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that it compares."""
        return tuple(map(str, self.said["parts"]))

    @property
    def about(self) -> str:
        """The parts, and the user or customer that it is limited to."""
        limits = (("user", self.said["user"]), ("customer", self.said["customer"]))
        named = [f"of {name} {value}" for name, value in limits if value]
        return " ".join([", ".join(self.parts), *named])

    @property
    def says(self) -> str:
        """The sentence of its statement, else its state."""
        if self.document is not None:
            return str(self.document["says"])
        return self.state_reason or self.state

    @property
    def agrees(self) -> bool | None:
        """True if nothing stands; None before its end."""
        return None if self.document is None else bool(self.document["agrees"])

    @property
    def agreement(self) -> Agreement | None:
        """The statement, if it ended and compared objects."""
        if self.document is None or ComparedPart.OBJECTS not in self.parts:
            return None
        return read_agreement(self.document)


def read_run(connection: Connection, run: int) -> PastRun:
    """Return a run.

    Raises:
        NoSuchRun: no reconciliation has this number.
    """
    found = connection.execute(_runs().where(StripeRun.id == run)).first()
    if found is None:
        raise NoSuchRun(run)
    return _read(found)


def newest_agreement(connection: Connection, realm: str | None = None) -> PastRun | None:
    """Return the newest run that compared all objects to its end, of a realm or of any."""
    whole = _runs().where(StripeRun.state == _DONE, StripeRun.result["whole"].as_boolean())
    objects = StripeRun.said["parts"].contains([str(ComparedPart.OBJECTS)])
    query = whole.where(objects).order_by(StripeRun.id.desc()).limit(1)
    if realm is not None:
        query = query.where(StripeRun.realm == realm)
    found = connection.execute(query).first()
    return None if found is None else _read(found)


def list_runs(connection: Connection, *, limit: int, before: int | None = None) -> list[PastRun]:
    """Return the newest runs first, at most so many, of those with a lower number than ``before``.

    Checks of undelivered events that found nothing are deleted by the next one.
    """
    query = _runs().order_by(StripeRun.id.desc()).limit(limit)
    if before is not None:
        query = query.where(StripeRun.id < before)
    return [_read(row) for row in connection.execute(query)]


def _runs() -> sa.Select[*tuple[Any, ...]]:
    return sa.select(StripeRun.__table__).where(StripeRun.kind == "reconcile")


def _read(row: Row[Any]) -> PastRun:
    return PastRun(
        id=row.id,
        realm=row.realm,
        state=row.state,
        state_reason=row.state_reason,
        actor=row.actor,
        reason=row.reason,
        said=row.said,
        started_at=row.started_at,
        ended_at=row.ended_at,
        requests=row.requests,
        document=row.result,
    )
