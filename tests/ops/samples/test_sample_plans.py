import tomllib
from pathlib import Path

import pytest

from billing.catalogue import Catalogue, read_catalogue
from ops.demo.plans import PLANS
from ops.samples.sample_plans import LIFETIME, MONTHLY, TEAM, SamplePrice


def catalogue(path: Path) -> Catalogue:
    return read_catalogue(tomllib.loads(path.read_text()))


@pytest.mark.parametrize("offer", [MONTHLY, TEAM, LIFETIME], ids=lambda offer: offer.price)
@pytest.mark.parametrize("seats", [1, 3])
def test_the_demos_plans_grant_what_the_samples_expect(offer: SamplePrice, seats: int) -> None:
    (plan,) = catalogue(PLANS).plans_by_names([offer.price])

    assert plan.code == offer.plan_code
    assert plan.features_for(seats) == offer.features_for(seats)
