"""Check that the role of the services has the rights that it needs, and none over the audit."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from models.tables import APPEND_ONLY, VIEWS, metadata
from ops.doctor.findings import Finding, ok, problem, warning
from runtime.roles import APPLICATION_ROLE, rights_on
from runtime.settings import OWNER_VARIABLE

_CHECK = "rights"
_OVER_THE_AUDIT = "UPDATE, DELETE, TRUNCATE, TRIGGER"
_MISSING = text(
    "SELECT current_user AS role, name, permission FROM"
    " unnest(CAST(:names AS text[]), CAST(:rights AS text[])) AS wanted(name, permission)"
    " WHERE NOT has_table_privilege(to_regclass(name), permission)"
)
"""A table that does not exist gives null, and so no row."""
_POWERFUL = text(
    "SELECT current_user FROM unnest(CAST(:names AS text[])) AS name"
    " WHERE has_table_privilege(to_regclass(name), :rights) LIMIT 1"
)


def check_roles(connection: Connection) -> Iterator[Finding]:
    """Report a right that DATABASE_URL's role lacks, and power that it should not have.

    Without tables there is no finding.
    """
    wanted = [
        (name, right)
        for name in (*metadata.tables, *VIEWS, "alembic_version")
        for right in rights_on(name)
    ]
    names, rights = zip(*wanted, strict=True)
    missing = connection.execute(_MISSING, {"names": list(names), "rights": list(rights)}).all()
    powerful = connection.scalar(_POWERFUL, {"names": list(APPEND_ONLY), "rights": _OVER_THE_AUDIT})
    if missing:
        first, *others = missing
        says = f"{first.role} lacks {first.permission} on {first.name}"
        more = f" and {len(others)} more rights" if others else ""
        yield problem(
            _CHECK,
            f"{says}{more}: run `paidup migrate` as the owner, with {first.role} in DATABASE_URL",
        )
    elif powerful:
        yield warning(
            _CHECK,
            f"{powerful} runs the services and could change the audit: put {APPLICATION_ROLE} into"
            f" DATABASE_URL and {powerful} into {OWNER_VARIABLE}, then run `paidup migrate`",
        )
    elif _has_tables(connection):
        yield ok(_CHECK, "the services can add to the audit and not change it")


def _has_tables(connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT to_regclass('audit_logs') IS NOT NULL")))
