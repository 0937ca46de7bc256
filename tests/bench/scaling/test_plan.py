import pytest

from bench.scaling.plan import LoadPhase, LoadPlan

PLAN = LoadPlan(
    phases=[
        LoadPhase(seconds=10, first=0, last=20),
        LoadPhase(seconds=10, first=20, last=20, burst=50),
    ],
    frozen_at=12,
    frozen_seconds=4,
)


@pytest.mark.parametrize(
    ("seconds", "events"),
    [(0, 0), (5, 25), (9.99, 99), (10, 150), (15, 250), (20, 350), (99, 350)],
)
def test_a_rising_rate_adds_up_and_a_burst_comes_at_once(seconds: float, events: int) -> None:
    assert PLAN.arrived(seconds) == events


def test_a_faster_plan_has_the_same_rates_and_bursts_and_the_same_freeze() -> None:
    faster = PLAN.faster(2)

    assert faster.seconds == PLAN.seconds / 2
    assert faster.arrived(10) == 200
    assert [faster.is_frozen(at) for at in (5.9, 6, 9.9, 10)] == [False, True, True, False]
