"""Wait for a condition, with a bound; tests never sleep for a fixed time."""

import time
from collections.abc import Callable


def until(
    condition: Callable[[], bool],
    *,
    meanwhile: Callable[[], None] = lambda: None,
    seconds: float = 120.0,
    why: str = "",
) -> None:
    """Return as soon as the condition holds; fail if it does not hold in time."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {seconds:g} s: {why or condition}"
        time.sleep(0.02)
        meanwhile()
