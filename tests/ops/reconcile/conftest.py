from collections.abc import Iterator

import pytest

from tests.ops.ops_env import OpsEnv
from tests.ops.reconcile.stripe_side import BothSides, both_sides


@pytest.fixture
def sides(floor: OpsEnv) -> Iterator[BothSides]:
    """A deployment and Stripe, which agree on nothing yet."""
    with both_sides(floor) as sides:
        yield sides
