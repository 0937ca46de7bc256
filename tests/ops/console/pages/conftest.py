from collections.abc import Callable, Iterator, Sequence

import pytest
from flask import Blueprint

from ops.console.pages.frame import Frame
from runtime.settings import Settings
from tests import fakes
from tests.ops.console.pages.page_client import PageClient
from tests.ops.queries.seeded_database import SeededDatabase

Pages = Callable[[Frame], Sequence[Blueprint]]


@pytest.fixture
def page_settings(books: SeededDatabase, redis_url: str) -> Settings:
    return fakes.settings(DATABASE_URL=books.url, REDIS_URL=redis_url)


@pytest.fixture
def client_of(page_settings: Settings) -> Iterator[Callable[[Pages], PageClient]]:
    """Make a client of some pages on the servers of the test."""
    made: list[PageClient] = []

    def make(pages: Pages) -> PageClient:
        made.append(PageClient(page_settings, pages))
        return made[-1]

    yield make
    for each in made:
        each.close()
