import tomllib

import pytest

from billing.catalogue import read_catalogue
from ops.demo.plans import PLANS as PLANS_OF_THE_DEMO
from ops.samples.sample_plans import LIFETIME, MONTHLY, PLANS, TEAM
from ops.samples.worlds.offers import StripePrice


def test_the_demos_plans_are_those_under_which_lifecycles_end() -> None:
    assert tomllib.loads(PLANS_OF_THE_DEMO.read_text()) == PLANS


@pytest.mark.parametrize("offer", [MONTHLY, TEAM, LIFETIME], ids=lambda offer: offer.price)
def test_a_plan_stands_for_each_price_of_the_samples(offer: StripePrice) -> None:
    assert read_catalogue(PLANS).plan_by_names([offer.price]) is not None
