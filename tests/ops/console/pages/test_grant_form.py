"""The form of a grant is read into a request; how long is one text."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ops.console.pages.grant_form import GrantForm
from ops.errors import CommandFailed

ZONE = ZoneInfo("Europe/Berlin")


def form(**given: Any) -> GrantForm:
    sent = {"user_id": "usr_1", "plan": "premium", "lasts": "30d", "reason": "why", **given}
    return GrantForm.read(sent)


@pytest.mark.parametrize("text", ["30d", " 30d ", "4w", "3mo", "1y", "12h", "30 d"])
def test_a_duration_is_kept_as_it_was_written(text: str) -> None:
    request = form(lasts=text).request("console:ada", ZONE)

    assert request.lasts is not None
    assert request.lasts.text == " ".join(text.split())
    assert request.until is None


def test_a_date_ends_with_its_day_in_the_zone_of_the_deployment() -> None:
    request = form(lasts="2999-12-31").request("console:ada", ZONE)

    assert request.until == datetime(2999, 12, 31, 23, tzinfo=UTC)
    assert request.lasts is None


@pytest.mark.parametrize("text", ["for good", "For  Good"])
def test_for_good_has_no_end(text: str) -> None:
    request = form(lasts=text).request("console:ada", ZONE)

    assert (request.lasts, request.until) == (None, None)


@pytest.mark.parametrize("text", ["", "forever and a day", "30", "30 parsecs", "0d", "2999-13-01"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed):
        form(lasts=text).request("console:ada", ZONE)


def test_features_are_parted_by_spaces_or_lines() -> None:
    request = form(plan="", features="max_devices=5\n signals_enabled  beta=no").request("a", ZONE)

    assert request.features == {"max_devices": 5, "signals_enabled": True, "beta": False}
    assert request.plan_code is None


def test_a_renewed_form_has_another_key_and_the_same_texts() -> None:
    first = form(idempotency_key="one", new_user="1")

    again = first.renewed()

    assert again.idempotency_key not in ("", "one")
    assert (again.lasts, again.new_user) == ("30d", True)
