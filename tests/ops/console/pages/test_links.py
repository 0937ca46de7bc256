import pytest
from flask import Flask

from ops.console.pages.links import href_of


@pytest.fixture
def app() -> Flask:
    app = Flask("console", static_folder=None)
    for endpoint, rule in (
        ("customers.show", "/customers/<stripe_id>"),
        ("payments.show", "/payments/<stripe_id>"),
        ("events.show", "/events/<key>"),
        ("search.find", "/search"),
    ):
        app.add_url_rule(rule, endpoint, lambda: "")
    return app


@pytest.mark.parametrize(
    ("identifier", "leads_to"),
    [
        ("cus_1", "/customers/cus_1"),
        ("pi_1", "/payments/pi_1"),
        ("ch_1", "/payments/ch_1"),
        ("in_1", "/payments/in_1"),
        ("evt_1", "/events/evt_1"),
        ("obs_sub_1_1795255814", "/events/obs_sub_1_1795255814"),
        ("obs_entitlements/cus_1_1795255814", "/search?q=obs_entitlements/cus_1_1795255814"),
        ("price_1", "/search?q=price_1"),
        ("anything else", "/search?q=anything+else"),
        ("javascript:alert(1)", "/search?q=javascript:alert(1)"),
        ("//evil.example/", "/search?q=//evil.example/"),
        ("cus_/../../x", "/search?q=cus_/../../x"),
    ],
)
def test_an_id_leads_to_its_page_or_to_a_search(app: Flask, identifier: str, leads_to: str) -> None:
    with app.test_request_context():
        assert href_of(identifier) == leads_to


def test_an_id_whose_page_is_not_there_leads_to_a_search(app: Flask) -> None:
    with app.test_request_context():
        assert href_of("sub_1") == "/search?q=sub_1"
