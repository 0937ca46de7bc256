"""The catalogue in force: the plans that every projecting transaction goes by.

It is kept in the database, versioned, so that all processes grant by the same plans at the same
moment, independent of their files. A projecting transaction shares the catalogue's lock with all
others; a new version is installed while none holds it. So once it is installed, no transaction
can commit by the old one.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from sqlalchemy import Connection, Engine, text

from billing.catalogue import Catalogue, Identity, read_catalogue, write_catalogue
from runtime.ledger.errors import CatalogueMissing

LOCK = 0x7061_6964_6361  # "paidca"


OPERATOR = "operator"
"""The origin of a change that an operator asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBy:
    """The actor, reason and origin of applied plans."""

    actor: str
    reason: str
    origin: str = OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedCatalogue:
    """The plans in force and their version, which every row projected from them carries.

    It knows the plans before it: what they sold keeps its rows, which are not in force.
    """

    version: int
    catalogue: Catalogue

    def succeeded_by(self, catalogue: Catalogue) -> Catalogue:
        """Return these plans as they would be if they were applied next."""
        known = catalogue.with_price_keys(self.catalogue.price_keys)
        return known.with_former((*reversed(self.catalogue.former), self.catalogue))


class CatalogueSource(Protocol):
    """Returns the catalogue by which a transaction projects."""

    def current(self, connection: Connection) -> VersionedCatalogue:
        """Return the plans in force; raises ``CatalogueMissing`` where there are none."""
        ...


class CatalogueCache:
    """Reads the catalogue, and reads it again only when its version changed."""

    def __init__(self) -> None:
        self._last: VersionedCatalogue | None = None

    def current(self, connection: Connection) -> VersionedCatalogue:
        """Return the catalogue as this transaction sees it.

        Raises:
            CatalogueMissing: no plans were ever applied.
        """
        version = newest_version(connection)
        if version is None:
            raise CatalogueMissing
        if self._last is None or self._last.version != version:
            self._last = _read(connection, version)
        return self._last


def newest_version(connection: Connection) -> int | None:
    """Return the version in force; None if no plans were ever applied."""
    version: int | None = connection.scalar(text("SELECT max(version) FROM catalogues"))
    return version


def current_catalogue(connection: Connection) -> VersionedCatalogue:
    """Return the catalogue for commands that ask once.

    Raises:
        CatalogueMissing: no plans were ever applied.
    """
    return CatalogueCache().current(connection)


def identities(connection: Connection, versions: Collection[int]) -> list[Identity]:
    """Return where the catalogues of these versions read the user."""
    documents = connection.scalars(_DOCUMENTS, {"versions": sorted(versions)})
    return [read_catalogue(each).identity for each in documents]


def differs(connection: Connection, catalogue: Catalogue) -> bool:
    """Return True if these plans differ from those in force in substance, not only in spelling.

    The lookup keys that are known from Stripe are no difference: no file has them.
    """
    in_force = current_catalogue(connection).catalogue
    known = catalogue.with_price_keys(in_force.price_keys)
    return _canonical(in_force) != _canonical(known)


def install_first(
    engine: Engine, catalogue: Catalogue, *, actor: str, reason: str, origin: str = OPERATOR
) -> bool:
    """Apply the first plans; return False where there are some already."""
    with engine.begin() as connection:
        connection.execute(_EXCLUSIVE, {"lock": LOCK})
        if newest_version(connection) is not None:
            return False
        signed = AppliedBy(actor=actor, reason=reason, origin=origin)
        _install(connection, catalogue, version=1, signed=signed)
        return True


def install(connection: Connection, catalogue: Catalogue, *, actor: str, reason: str) -> int:
    """Apply these plans and return their version; ``reproject`` updates the rows afterwards.

    What earlier versions know of lookup keys stays known.
    """
    connection.execute(_EXCLUSIVE, {"lock": LOCK})
    version = (newest_version(connection) or 0) + 1
    if version > 1:
        catalogue = catalogue.with_price_keys(current_catalogue(connection).catalogue.price_keys)
    signed = AppliedBy(actor=actor, reason=reason)
    _install(connection, catalogue, version=version, signed=signed)
    return version


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The version in force after plans were applied; ``made`` says that applying them made it."""

    version: int
    made: bool


def switch(engine: Engine, catalogue: Catalogue, *, actor: str, reason: str) -> Switch:
    """Apply these plans unless they are in force; of two calls at once one makes the version."""
    with engine.begin() as connection:
        # Waiting for this lock holds up every later projection, so the wait is short.
        connection.execute(_BRIEFLY)
        connection.execute(_EXCLUSIVE, {"lock": LOCK})
        version = newest_version(connection)
        if version is not None and not differs(connection, catalogue):
            return Switch(version=version, made=False)
        made = install(connection, catalogue, actor=actor, reason=reason)
        return Switch(version=made, made=True)


_DOCUMENTS = text("SELECT document FROM catalogues WHERE version = ANY(:versions)")
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
    connection: Connection, catalogue: Catalogue, *, version: int, signed: AppliedBy
) -> None:
    document = _canonical(catalogue)
    values = {"document": document, "actor": signed.actor, "reason": signed.reason}
    digest = sha256(document.encode()).hexdigest()
    connection.execute(_INSERT, {"version": version, "sha256": digest, **values})
    connection.execute(_AUDIT, {"target": str(version), "origin": signed.origin, **values})


def _read(connection: Connection, version: int) -> VersionedCatalogue:
    query = text("SELECT document FROM catalogues WHERE version <= :version ORDER BY version")
    documents = connection.scalars(query, {"version": version})
    *former, newest_of_them = map(read_catalogue, documents)
    return VersionedCatalogue(version=version, catalogue=newest_of_them.with_former(former))


def _canonical(catalogue: Catalogue) -> str:
    return json.dumps(write_catalogue(catalogue), sort_keys=True, separators=(",", ":"))
