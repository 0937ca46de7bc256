"""The forms in which Stripe has sent the same objects over the years.

Nearly every field that moved did so in one release, 2025-03-31.basil: ``OLD`` lies before it,
``NEW`` after. ``ANCIENT`` is how an account that was never upgraded since 2014 still gets them.
"""

from enum import StrEnum


class Shape(StrEnum):
    """Where in its objects Stripe puts things; the value is what people write on a command line."""

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
