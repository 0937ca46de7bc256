import pytest
from flask import Blueprint, Response
from sqlalchemy import Connection, text

from ops.console.pages.frame import Frame, found_or_404, mark_commands
from tests.fakes import settings
from tests.ops.console.pages.page_client import HOSTILE, PageClient


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


def test_what_stands_between_backticks_is_code_and_nothing_else_is_more_than_text() -> None:
    assert mark_commands("run `paidup doctor` now") == "run <code>paidup doctor</code> now"
    assert mark_commands("no command") == "no command"
    for hostile in HOSTILE:
        marked = mark_commands(f"{hostile} `{hostile}`")
        assert "<script" not in marked
        assert "<img" not in marked


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
