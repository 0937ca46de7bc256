import pytest
from flask import Blueprint, Response
from sqlalchemy import Connection, text

from ops.console.pages.frame import Frame, found_or_404
from tests.fakes import settings
from tests.ops.console.pages.page_client import PageClient


def pages_of(frame: Frame) -> list[Blueprint]:
    pages = Blueprint("sample", __name__)

    @pages.get("/broken")
    def broken() -> Response:
        return frame.render("errors/show.html", title=str(frame.read(_broken)), says="")

    @pages.get("/writing")
    def writing() -> Response:
        return frame.render("errors/show.html", title=str(frame.read(_writing)), says="")

    @pages.get("/missing")
    def missing() -> Response:
        return found_or_404(None)

    return [pages]


def _broken(connection: Connection) -> object:
    return connection.execute(text("SELECT nothing FROM nowhere")).all()


def _writing(connection: Connection) -> object:
    return connection.execute(text("DELETE FROM audit_logs")).rowcount


@pytest.mark.servers
def test_a_failed_read_says_what_failed_and_is_worth_another_try(database: str) -> None:
    client = PageClient(settings(DATABASE_URL=database), pages_of)
    try:
        page = client.get("/broken")
        assert page.status == 503
        assert 'relation "nowhere" does not exist' in page.text
        assert "paidup doctor" in page.text
        assert page.response.headers["Retry-After"]
        assert client.get("/missing").status == 404
    finally:
        client.close()


@pytest.mark.servers
def test_a_page_that_reads_cannot_write(database: str) -> None:
    client = PageClient(settings(DATABASE_URL=database), pages_of)
    try:
        page = client.get("/writing")
    finally:
        client.close()

    assert page.status == 503
    assert "read-only transaction" in page.text
