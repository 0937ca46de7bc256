"""Sentences of the commands become HTML: calls are code, ids are links, all else is text."""

from collections.abc import Iterator

import pytest
from flask import Blueprint, Flask

from ops.console.pages.sentences import mark_sentence
from tests.ops.console.pages.page_client import HOSTILE
from tests.ops.console.pages.page_html import read_html


@pytest.fixture(autouse=True)
def in_request() -> Iterator[None]:
    app = Flask("console")
    search = Blueprint("search", __name__)
    search.add_url_rule("/search", "find", lambda: "found")
    app.register_blueprint(search)
    with app.test_request_context():
        yield


def test_a_call_in_backticks_is_code_and_its_ids_are_no_links() -> None:
    marked = mark_sentence("say whose it is: `paidup links add cs_1 USER --reason WHY`.")

    assert marked.endswith("links add cs_1 USER --reason WHY</code>.")
    assert "<a" not in marked


def test_an_id_of_stripe_is_a_link() -> None:
    links = read_html(mark_sentence("Payment pi_1 of 5.00 USD waits (cus_2).")).links()

    assert links == {"pi_1": "/search?q=pi_1", "cus_2": "/search?q=cus_2"}


def test_what_only_looks_like_an_id_is_none() -> None:
    assert mark_sentence("a.pi_1 usr-cus_2 evt_") == "a.pi_1 usr-cus_2 evt_"


@pytest.mark.parametrize("text", [*HOSTILE, '`"><script>`', "pi_1<b>", "`"])
def test_all_else_is_escaped(text: str) -> None:
    page = read_html(mark_sentence(text))

    assert page.text == " ".join(text.replace("`", "").split()) or text == "`"
    assert {each.tag for each in page.walk()} <= {"a", "code"}
