"""A run asks patiently: it obeys each pause, and tries again what was not answered."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from billing.fetching.record import ApiResponse, FetchTarget, read_response
from ops.stripe_runs.asking import PatientApi
from runtime.json_text import write_json
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiAway, ApiFailure, ApiForbidden, ApiLimited, ApiRefused
from runtime.time_limits import STRIPE_AGAIN_SECONDS
from tests.ops.stripe_runs.walk_builders import NOW, OWN

CUSTOMER = "/v1/customers/cus_1"


@dataclass
class TurnsApi:
    """Raises or answers what it was given, in turn; the last for ever."""

    turns: list[ApiFailure | tuple[int, object]]
    asked: list[str] = field(default_factory=list)

    def ask(self, request: str, _: ApiAccount) -> ApiResponse:
        self.asked.append(request)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, ApiFailure):
            raise turn
        at, body = turn
        return read_response(request, 200, datetime.fromtimestamp(at, UTC), write_json(body))


def patient(*turns: ApiFailure | tuple[int, object]) -> tuple[PatientApi, list[float]]:
    pauses: list[float] = []
    return PatientApi(TurnsApi(list(turns)), OWN, pauses.append), pauses  # type: ignore[arg-type]


def test_a_pause_of_stripes_is_obeyed_however_often_it_comes() -> None:
    limits = [ApiLimited(7.0) for _ in range(20)]
    api, pauses = patient(*limits, (NOW, {}))

    assert api.ask(CUSTOMER).body == {}
    assert pauses == [7.0] * 20
    assert api.sent == 21


def test_a_request_that_was_held_back_is_none() -> None:
    api, pauses = patient(ApiLimited(7.0), ApiLimited(6.0, sent=False), (NOW, {}))

    api.ask(CUSTOMER)

    assert (api.sent, pauses) == (2, [7.0, 6.0])


def test_an_outage_is_met_with_longer_and_longer_pauses() -> None:
    api, pauses = patient(*[ApiAway("500")] * 4, (NOW, {}))

    api.ask(CUSTOMER)

    for pause, least in zip(pauses, STRIPE_AGAIN_SECONDS, strict=False):
        assert least <= pause <= least * 1.5
    assert len(pauses) == 4


def test_an_outage_that_lasts_is_a_failure() -> None:
    api, pauses = patient(ApiAway("500"))

    with pytest.raises(ApiAway):
        api.ask(CUSTOMER)

    assert len(pauses) == len(STRIPE_AGAIN_SECONDS)


@pytest.mark.parametrize("refusal", [ApiForbidden("no"), ApiRefused("400")])
def test_a_refusal_is_not_asked_twice(refusal: ApiFailure) -> None:
    api, pauses = patient(refusal)

    with pytest.raises(type(refusal)):
        api.ask(CUSTOMER)

    assert (api.sent, pauses) == (1, [])


def test_an_object_is_fetched_by_itself() -> None:
    api, _ = patient((NOW, {"id": "cus_1", "object": "customer"}))

    (shown,) = api.fetch((FetchTarget(family="customer", stripe_id="cus_1"),))

    assert (shown.name, int(shown.asked_at.timestamp())) == (("customer", "cus_1"), NOW)


def test_an_answer_that_must_be_later_is_waited_for() -> None:
    api, pauses = patient((NOW, {"id": "cus_1"}), (NOW + 1, {"id": "cus_1"}))
    target = FetchTarget(
        family="customer", stripe_id="cus_1", later_than=datetime.fromtimestamp(NOW, UTC)
    )

    (shown,) = api.fetch((target,))

    assert int(shown.asked_at.timestamp()) == NOW + 1
    assert len(pauses) == 1


def test_an_answer_that_is_never_later_is_a_failure() -> None:
    api, pauses = patient((NOW, {"id": "cus_1"}))
    later = datetime.fromtimestamp(NOW + 3_600, UTC)

    with pytest.raises(ApiAway, match="the second in question"):
        api.fetch((FetchTarget(family="customer", stripe_id="cus_1", later_than=later),))

    assert len(pauses) == len(STRIPE_AGAIN_SECONDS)


@pytest.mark.parametrize(("features", "expected"), [([], False), ([{"id": "feat_1"}], True)])
def test_an_account_may_have_no_features(features: list[dict[str, str]], *, expected: bool) -> None:
    api, _ = patient((NOW, {"object": "list", "data": features, "has_more": False}))

    assert api.has_features() == expected
