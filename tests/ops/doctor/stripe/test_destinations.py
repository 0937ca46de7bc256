import pytest

from ops.doctor.stripe.destinations import (
    merge_destinations,
    path_of,
    read_destination,
    read_endpoint,
    same_url,
    without_credentials,
)
from tests.ops.doctor.stripe.fake_endpoints import ALL_TYPES, URL, destination, endpoint


def test_an_endpoint_of_the_first_api_is_read_with_its_version_and_its_mode() -> None:
    assert read_endpoint(endpoint()) == destination()
    assert read_endpoint(endpoint(application="ca_1")).connected
    assert not read_endpoint(endpoint(status="disabled")).enabled


def test_a_destination_of_the_second_api_says_whose_events_it_gets_and_in_which_form() -> None:
    raw = {
        "id": "ed_1",
        "enabled_events": sorted(ALL_TYPES),
        "event_payload": "thin",
        "events_from": ["@organization_members/@accounts"],
        "livemode": True,
        "snapshot_api_version": None,
        "status": "enabled",
        "type": "webhook_endpoint",
        "webhook_endpoint": {"url": URL},
    }

    assert read_destination(raw) == destination(
        "ed_1", livemode=True, version=None, connected=True, thin=True, editable=False
    )
    assert not read_destination({**raw, "events_from": ["@self"]}).connected
    assert read_destination({**raw, "webhook_endpoint": None}).url is None


def test_one_that_both_apis_list_counts_once_and_may_be_changed() -> None:
    both = merge_destinations(
        [destination()], [destination(editable=False), destination("ed_1", editable=False)]
    )

    assert both == (destination(), destination("ed_1", editable=False))


@pytest.mark.parametrize(
    "other",
    [
        "https://HOOKS.example.com/webhooks/stripe",
        "https://hooks.example.com:443/webhooks/stripe/",
        " https://hooks.example.com/webhooks/stripe",
    ],
)
def test_one_place_has_several_urls(other: str) -> None:
    assert same_url(URL, other)


@pytest.mark.parametrize(
    "other",
    [
        None,
        "http://hooks.example.com/webhooks/stripe",
        "https://hooks.example.com/webhooks/Stripe",
        "https://hooks.example.com/webhooks/stripe?a=b",
        "https://hooks.example.com:8443/webhooks/stripe",
        "https://hooks.example.com:99999/webhooks",
        "https://[hooks.example.com/webhooks/stripe",
    ],
)
def test_another_place_has_another_url(other: str | None) -> None:
    assert not same_url(URL, other)


def test_a_url_is_shown_without_what_may_be_a_secret_in_it() -> None:
    url = "https://ada:pass@hooks.example.com:8443/stripe?token=5f3a#there"

    assert without_credentials(url) == "https://hooks.example.com:8443/stripe"
    assert without_credentials("https://[odd") == "https://[odd"


def test_a_text_that_is_no_url_is_no_path_of_ours() -> None:
    assert path_of("https://[odd/webhooks/stripe") != "/webhooks/stripe"
