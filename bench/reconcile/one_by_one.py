"""Walk the list as most programs do: one page after another, each compared before the next."""

import time

from sqlalchemy import Engine

from ops.reconcile.missing_events import find_standings, read_events
from ops.stripe_runs.lists import EVENTS, Span, page_request
from ops.stripe_runs.pages import read_page
from runtime.inbox.inbox import Inbox
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import StripeApi

ACCOUNT = ApiAccount(livemode=False)


def seconds_one_by_one(engine: Engine, inbox: Inbox, api: StripeApi, events: int) -> float:
    """Return the seconds in which that compares so many events, the newest of the list."""
    began, compared, after = time.monotonic(), 0, None
    while compared < events:
        page = read_page(EVENTS, 0, api.ask(page_request(EVENTS, Span(), after=after), ACCOUNT))
        listed = read_events(page.objects, None)
        with engine.connect() as connection:
            find_standings(connection, inbox, listed)
        compared += len(listed)
        if not page.has_more:
            break
        after = listed[-1].event_id
    return (time.monotonic() - began) * events / compared
