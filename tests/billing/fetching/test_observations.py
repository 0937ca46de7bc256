"""An API observation has an id, keeps its payload to the byte and travels between databases."""

import json
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from billing.errors import MalformedEvent
from billing.facts import is_observation
from billing.fetching.observations import (
    ApiObservation,
    join_observations,
    observations_from_json,
    observations_to_json,
)
from tests.billing.fact_builders import at

SHOWN = ApiObservation(
    family="customer",
    object_id="cus_1",
    asked_at=at(5),
    api_version="2026-10-28.endive",
    gone=False,
    payload='{"id": "cus_1",\t"name": "\\u0000é"}\n',
)


def test_its_id_is_the_object_and_the_second() -> None:
    assert SHOWN.id == f"obs_cus_1_{int(at(5).timestamp())}"
    assert is_observation(SHOWN.id)
    summary = replace(SHOWN, family="entitlements.active_entitlement_summary")
    assert summary.id == f"obs_entitlements/cus_1_{int(at(5).timestamp())}"
    assert not is_observation("evt_1")


def test_it_shows_its_object_unless_that_is_gone() -> None:
    assert SHOWN.raw == {"id": "cus_1", "name": "\0é"}
    assert replace(SHOWN, gone=True).raw is None
    assert len(SHOWN.payload_sha256) == 64


def test_its_representation_shows_nothing_of_the_object() -> None:
    assert "é" not in repr(SHOWN)


@pytest.mark.parametrize("shown", [SHOWN, replace(SHOWN, api_version=None, gone=True)])
def test_it_reads_back_unchanged(shown: ApiObservation) -> None:
    document = json.loads(json.dumps(observations_to_json((shown,))))

    assert observations_from_json(document) == (shown,)


@pytest.mark.parametrize(
    ("member", "value", "error", "reason"),
    [
        ("object_id", 7, ValueError, "object_id is no text that can be stored"),
        ("family", "a\0", ValueError, "family is no text that can be stored"),
        ("asked_at", "2026-11-28T00:00:00", ValueError, "2026-11-28T00:00:00 has no time zone"),
        ("asked_at", "yesterday", ValueError, "yesterday"),
        ("payload", "[]", MalformedEvent, "the body is not a JSON object"),
    ],
)
def test_what_is_none_is_refused(
    member: str, value: object, error: type[Exception], reason: str
) -> None:
    (document,) = observations_to_json((SHOWN,))

    with pytest.raises(error, match=reason):
        observations_from_json([document | {member: value}])


def test_the_second_in_which_it_was_asked_for_is_read_in_utc() -> None:
    (document,) = observations_to_json((SHOWN,))
    elsewhere = SHOWN.asked_at.astimezone(timezone(timedelta(hours=5)))

    (read,) = observations_from_json([document | {"asked_at": elsewhere.isoformat()}])

    assert read == SHOWN
    assert read.asked_at.tzinfo is UTC


def test_of_two_with_one_id_the_second_counts() -> None:
    later, again = replace(SHOWN, asked_at=at(9)), replace(SHOWN, payload="{}")

    assert join_observations((SHOWN, later), (again,)) == (again, later)
