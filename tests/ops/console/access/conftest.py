from collections.abc import Iterator

import pytest

from tests.ops.console.access.people_client import HTTPS, PeopleConsole, people


@pytest.fixture
def here(database: str) -> Iterator[PeopleConsole]:
    """A console for this machine alone."""
    with people(database) as console:
        yield console


@pytest.fixture
def public(database: str) -> Iterator[PeopleConsole]:
    """A console at an https address."""
    with people(database, HTTPS, PAIDUP_CONSOLE_URL=HTTPS) as console:
        yield console


@pytest.fixture
def prefixed(database: str) -> Iterator[PeopleConsole]:
    """A console below a prefix, whose proxy takes the prefix away."""
    with people(database, HTTPS, PAIDUP_CONSOLE_URL=f"{HTTPS}/paidup") as console:
        yield console


@pytest.fixture
def exposed(database: str) -> Iterator[PeopleConsole]:
    """A console at plain http, where others can read along."""
    url = "http://ops.internal:8001"
    with people(database, url, PAIDUP_CONSOLE_URL=url, PAIDUP_CONSOLE_INSECURE="1") as console:
        yield console
