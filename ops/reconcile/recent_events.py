"""Find out whether Stripe lists an event of the last minute about objects.

Without one they were a minute ago as they are now, so one look at them is as good as two.
"""

from collections.abc import Collection, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from ops.stripe_runs.asking import PatientApi, Pause
from ops.stripe_runs.lists import EVENTS
from ops.stripe_runs.pages import created_in
from runtime.stripe_api.errors import ApiForbidden
from runtime.time_limits import STRIPE_SETTLE_SECONDS

MOST_PAGES: Final = 10
"""A thousand events. Where there are more in the time, waiting costs Stripe less."""


def changed_within(api: PatientApi, ids: Collection[str], within: timedelta, pause: Pause) -> bool:
    """Return True if an event may have changed one of these objects within that time.

    It may also if the key has no right to read events, or if there are too many of them. The pauses
    let Stripe list the event of a change that it has just shown, and keep the lease of the run.

    Raises:
        ApiFailure: Stripe did not answer several times.
    """
    wanted = frozenset(ids)
    pause(STRIPE_SETTLE_SECONDS)
    try:
        for page in islice(api.pages(EVENTS), MOST_PAGES):
            since = (page.response.at - within).timestamp()
            seconds = zip(page.objects, created_in(page.objects), strict=True)
            recent = [raw for raw, created in seconds if created >= since]
            if any(not wanted.isdisjoint(_texts(raw)) for raw in recent):
                return True
            if len(recent) < len(page.objects) or not page.has_more:
                return False
            pause(0)
    except ApiForbidden:
        return True
    return True


def _texts(value: Any) -> Iterator[str]:
    """Yield every text of an event: a customer that was imported may have an id of any form."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
