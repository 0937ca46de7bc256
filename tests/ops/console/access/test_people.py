"""The person of a request, and the roles that let it through."""

import pytest
from flask import Flask, g

from ops.console.access.people import (
    PageRefused,
    Person,
    current_person,
    person_or_none,
    require,
)
from ops.console_tokens import Role

SUE = Person(name="sue", role=Role.VIEWER, session="ses_1")


def test_a_person_has_a_name_in_the_audit_that_no_command_and_no_application_has() -> None:
    assert SUE.actor == "console:sue"


def test_a_role_includes_those_below_it_and_none_above() -> None:
    with Flask(__name__).app_context():
        g.person = SUE
        require(Role.READER)
        require(Role.VIEWER)
        with pytest.raises(PageRefused, match="needs the role operator") as refused:
            require(Role.OPERATOR)

    assert refused.value.code == 403


def test_without_a_person_there_is_none() -> None:
    with Flask(__name__).app_context():
        assert person_or_none() is None
        with pytest.raises(AttributeError):
            current_person()
