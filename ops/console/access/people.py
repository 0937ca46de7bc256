"""The person behind a request to a page, and what the role of a person allows."""

from dataclasses import dataclass

from flask import g
from werkzeug.exceptions import HTTPException

from ops.console_tokens import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person who is logged in; ``session`` is the id of the session, which is no secret."""

    name: str
    role: Role
    session: str

    @property
    def actor(self) -> str:
        """The name of the person in the audit."""
        return actor_of(self.name)


def actor_of(name: str) -> str:
    """Return the name that a person of the console has in the audit."""
    return f"console:{name}"


class PageRefused(HTTPException):
    """A request for a page that is answered with a short page: a status, and what to do next."""

    def __init__(self, status: int, title: str, says: str, *, retry_after: int = 0) -> None:
        super().__init__(says)
        self.code = status
        self.title = title
        self.says = says
        self.retry_after = retry_after


def current_person() -> Person:
    """Return the person of this request; without one no page is reached."""
    person: Person = g.person
    return person


def person_or_none() -> Person | None:
    """Return the person of this request, None if there is none."""
    person: Person | None = g.get("person")
    return person


def require(role: Role) -> None:
    """Refuse the request of a person who may not act in this role.

    Raises:
        PageRefused: with the status 403.
    """
    person = current_person()
    if not person.role.may_act_as(role):
        raise PageRefused(
            403,
            "Not for your role",
            f"You are logged in as {person.name} with the role {person.role}. This needs the role"
            f" {role}: ask an administrator for a token with it.",
        )
