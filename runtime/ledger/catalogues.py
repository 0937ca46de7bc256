"""The catalogue of record: which plans every projecting transaction goes by.

It lives in the database, versioned, so that all processes grant by the same plans at the same
moment whatever their files say. A projecting transaction holds the catalogue's lock together
with all others; a new version is installed while nobody holds it. So once it is there, nobody
can commit by the old one.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, Engine, text

from billing.catalogue import Catalogue, read_catalogue, write_catalogue
from runtime.ledger.errors import CatalogueMissing

LOCK = 0x7061_6964_6361  # "paidca"


OPERATOR = "operator"
"""The origin of what a person asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who applied plans, why, and by which way."""

    actor: str
    reason: str
    origin: str = OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The catalogue of record and its version, which every row made by it carries.

    It knows those of record before it: what they sold keeps its rows, which are not in force.
    """

    version: int
    catalogue: Catalogue

    def succeeded_by(self, catalogue: Catalogue) -> Catalogue:
        """These plans as they would be, were they the next of record."""
        return catalogue.after((*reversed(self.catalogue.former), self.catalogue))


class Catalogues:
    """Reads the catalogue of record, and reads it again only when its version changed."""

    def __init__(self) -> None:
        self._last: Record | None = None

    def current(self, connection: Connection) -> Record:
        """The catalogue of record as this transaction sees it.

        Raises:
            CatalogueMissing: if no plans were ever applied.
        """
        version = newest(connection)
        if version is None:
            raise CatalogueMissing
        if self._last is None or self._last.version != version:
            self._last = _read(connection, version)
        return self._last


def newest(connection: Connection) -> int | None:
    """The version of record; None if no plans were ever applied."""
    version: int | None = connection.scalar(text("SELECT max(version) FROM catalogues"))
    return version


def current(connection: Connection) -> Record:
    """The catalogue of record, for commands that ask once.

    Raises:
        CatalogueMissing: if no plans were ever applied.
    """
    return Catalogues().current(connection)


def differs(connection: Connection, catalogue: Catalogue) -> bool:
    """Whether these plans are not those of record, in substance and not in spelling."""
    return _canonical(current(connection).catalogue) != _canonical(catalogue)


def install_first(
    engine: Engine, catalogue: Catalogue, *, actor: str, reason: str, origin: str = OPERATOR
) -> bool:
    """Make these the first plans of record; False where there are some already."""
    with engine.begin() as connection:
        connection.execute(_EXCLUSIVE, {"lock": LOCK})
        if newest(connection) is not None:
            return False
        signed = Signature(actor=actor, reason=reason, origin=origin)
        _install(connection, catalogue, version=1, signed=signed)
        return True


def install(connection: Connection, catalogue: Catalogue, *, actor: str, reason: str) -> int:
    """Make these the plans of record from this commit on; rows follow by ``Ledger.reproject``."""
    connection.execute(_EXCLUSIVE, {"lock": LOCK})
    version = (newest(connection) or 0) + 1
    signed = Signature(actor=actor, reason=reason)
    _install(connection, catalogue, version=version, signed=signed)
    return version


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The version of record after plans were applied, and whether that made it."""

    version: int
    made: bool


def switch(engine: Engine, catalogue: Catalogue, *, actor: str, reason: str) -> Switch:
    """Make these the plans of record unless they are; of two who do so at once one makes it."""
    with engine.begin() as connection:
        # Who waits for this lock keeps every later projection waiting, so nobody waits for long.
        connection.execute(_BRIEFLY)
        connection.execute(_EXCLUSIVE, {"lock": LOCK})
        version = newest(connection)
        if version is not None and not differs(connection, catalogue):
            return Switch(version=version, made=False)
        made = install(connection, catalogue, actor=actor, reason=reason)
        return Switch(version=made, made=True)


_BRIEFLY = text("SET LOCAL lock_timeout = '1500ms'")
_EXCLUSIVE = text("SELECT pg_advisory_xact_lock(:lock)")
_INSERT = text(
    "INSERT INTO catalogues (version, document, sha256, applied_by, reason)"
    " VALUES (:version, CAST(:document AS jsonb), :sha256, :actor, :reason)"
)
_AUDIT = text(
    "INSERT INTO audit_logs"
    " (actor, action, outcome, origin, target_type, target_id, after, reason)"
    " VALUES (:actor, 'catalogue.applied', 'done', :origin, 'catalogue', :target,"
    " CAST(:document AS jsonb), :reason)"
)


def _install(
    connection: Connection, catalogue: Catalogue, *, version: int, signed: Signature
) -> None:
    document = _canonical(catalogue)
    values = {"document": document, "actor": signed.actor, "reason": signed.reason}
    digest = sha256(document.encode()).hexdigest()
    connection.execute(_INSERT, {"version": version, "sha256": digest, **values})
    connection.execute(_AUDIT, {"target": str(version), "origin": signed.origin, **values})


def _read(connection: Connection, version: int) -> Record:
    query = text("SELECT document FROM catalogues WHERE version <= :version ORDER BY version")
    documents = connection.scalars(query, {"version": version})
    *former, newest_of_them = map(read_catalogue, documents)
    return Record(version=version, catalogue=newest_of_them.after(former))


def _canonical(catalogue: Catalogue) -> str:
    return json.dumps(write_catalogue(catalogue), sort_keys=True, separators=(",", ":"))
