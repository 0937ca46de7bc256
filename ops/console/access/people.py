"""The person of a request for a page: a name, a role, and the session."""

from dataclasses import dataclass

from flask import abort, g

from ops.console_tokens import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person who is logged in; ``session`` is the id of the session's row."""

    name: str
    role: Role
    session: str

    @property
    def actor(self) -> str:
        """The name in the audit."""
        return f"console:{self.name}"


def find_person() -> Person | None:
    """Return the person of this request, None if no one is logged in."""
    found: Person | None = g.get("person")
    return found


def current_person() -> Person:
    """Return the person of this request, whom the page was only reached with."""
    person = find_person()
    assert person is not None, "no page without a person"  # noqa: S101 - for types
    return person


def require(role: Role) -> None:
    """Abort with the 403 page if the person may not act in this role."""
    person = current_person()
    if not person.role.may_act_as(role):
        abort(403, f"You are logged in as {person.role}, and this needs the role {role}.")
