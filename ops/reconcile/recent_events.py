"""Find out whether Stripe lists an event of the last minute about objects.

Without one they were a minute ago as they are now, so one look at them is as good as two.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from billing.json_fields import Raw
from ops.queries.dead_letters import named_by
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import EVENTS, EVERYTHING, page_request
from ops.stripe_runs.pages import created_in, read_page
from runtime.json_text import write_json
from runtime.stripe_api.errors import ApiForbidden

MOST_PAGES: Final = 10
"""A thousand events. Where there are more in the time, waiting costs Stripe less."""


def changed_within(api: PatientApi, ids: Collection[str], within: timedelta) -> bool:
    """Return True if an event may have changed one of these objects within that time.

    It may also if the key has no right to read events, or if there are too many of them.

    Raises:
        ApiFailure: Stripe did not answer several times.
    """
    wanted, after = frozenset(ids), None
    for _ in range(MOST_PAGES):
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
        if any(_names(raw, wanted) for raw in recent):
            return True
        if len(recent) < len(page.objects) or not page.has_more:
            return False
        after = str(page.objects[-1]["id"])
    return True


def _names(event: Raw, ids: frozenset[str]) -> bool:
    return not named_by(write_json(event)).ids.isdisjoint(ids)
