"""Words by which people look for a party: what Stripe's objects bear beside their ids."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_PREFIX, Base, one_of

TERM_KINDS = ("email", "id", "metadata", "name", "user")


class SearchTerm(Base):
    """One term of one object, in lower case.

    ``email``, ``name`` and ``metadata``: an address, the name of a person or company, and a value
    of metadata that the object bears; ``object_key`` is its customer where it has one, so that a
    customer has one row however many invoices repeat the term. ``id`` and ``user``: an id of Stripe
    and a user that a dead letter names, which belongs to no party yet. For a dead letter,
    ``object_key`` and ``party`` are its key.
    """

    __tablename__ = "search_terms"
    __table_args__ = (
        one_of("kind", TERM_KINDS),
        Index(
            "search_terms_email_idx",
            "term",
            postgresql_ops={"term": BY_PREFIX},
            postgresql_where=text("kind = 'email'"),
        ),
    )

    term: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    object_key: Mapped[str] = mapped_column(primary_key=True)
    party: Mapped[str] = mapped_column(index=True)
