"""The shapes in which Stripe has sent the same objects over the years.

Nearly every field that moved did so in one release, 2025-03-31.basil: ``OLD`` is before it, ``NEW``
after it. ``ANCIENT`` is what an account that was not upgraded since 2014 still gets.
"""

from enum import StrEnum


class Shape(StrEnum):
    """The position of fields in Stripe's objects; the value is used on the command line."""

    ANCIENT = "ancient"
    OLD = "old"
    NEW = "new"

    @property
    def api_version(self) -> str:
        """The ``api_version`` that events of this shape carry."""
        return _API_VERSIONS[self]


_API_VERSIONS = {
    Shape.ANCIENT: "2014-11-20",
    Shape.OLD: "2024-06-20",
    Shape.NEW: "2026-10-28.endive",
}
