"""Find out whether Stripe lists an event of the last minute about objects.

Without one they were a minute ago as they are now, so one look at them is as good as two.
"""

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any, Final

from ops.stripe_runs.asking import PatientApi, Pause
from ops.stripe_runs.lists import EVENTS, EVERYTHING, page_request
from ops.stripe_runs.pages import created_in, read_page
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
    wanted, after = frozenset(ids), None
    pause(STRIPE_SETTLE_SECONDS)
    for _ in range(MOST_PAGES):
        pause(0)
        try:
            response = api.ask(page_request(EVENTS, EVERYTHING, after=after))
        except ApiForbidden:
            return True
        page = read_page(EVENTS, 0, response)
        since = (response.at - within).timestamp()
        recent = [
            raw
            for raw, created in zip(page.objects, created_in(page.objects), strict=True)
            if created >= since
        ]
        if not all(wanted.isdisjoint(_texts(raw)) for raw in recent):
            return True
        if len(recent) < len(page.objects) or not page.has_more:
            return False
        after = str(page.objects[-1]["id"])
    return True


def _texts(value: Any) -> Iterator[str]:
    """Yield every text of an event: a customer that was imported may have an id of any form."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
