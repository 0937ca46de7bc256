"""Find an event: settled, in the inbox, or among the dead letters."""

from billing.readers.search_terms import is_stripe_id
from billing.statements import STATEMENT_PREFIX
from ops import connections
from ops.errors import CommandFailed
from ops.events.render import ShownEvent
from ops.queries.event_trace import (
    RecordedObservation,
    find_in_inbox,
    load_observation,
    load_recorded_event,
)
from runtime.inbox.entries import PeekedEvent
from runtime.settings import Settings


def look_up(settings: Settings, event_id: str) -> ShownEvent:
    """Look in the inbox, then in the database.

    In this order an event that leaves the inbox between the two queries is still found.

    Raises:
        CommandFailed: if the event is in neither place.
    """
    pending: tuple[PeekedEvent, ...] = ()
    inbox_error = None
    try:
        with connections.open_inbox(settings) as inbox:
            pending = find_in_inbox(inbox, event_id)
    except CommandFailed as error:
        inbox_error = str(error)
    with connections.open_snapshot(settings, application="events") as connection:
        kept = load_recorded_event(connection, event_id)
    if kept.empty and not pending:
        raise CommandFailed(describe_unknown(event_id, inbox_error))
    return ShownEvent(event_id=event_id, recorded=kept, pending=pending, inbox_error=inbox_error)


def look_up_observation(settings: Settings, observation_id: str) -> RecordedObservation:
    """Look up an API observation in the database.

    Raises:
        CommandFailed: if there is none with this id.
    """
    with connections.open_snapshot(settings, application="events") as connection:
        found = load_observation(connection, observation_id)
    if found is None:
        raise CommandFailed(
            f"no API observation {observation_id!r} is stored here: `paidup events show EVENT`"
            " names those that were made for an event, `paidup audit list` others by what followed"
        )
    return found


def describe_unknown(event_id: str, inbox_error: str | None) -> str:
    """Return a sentence about an event that is nowhere, with what to do."""
    if is_stripe_id(event_id) and not event_id.startswith("evt_"):
        return f"{event_id} is no event: `paidup events list --user {event_id}` lists its events"
    if event_id.startswith(STATEMENT_PREFIX):
        shows = f"`paidup audit list --event {event_id}` shows what followed"
        return f"{event_id} is what a person stated, no event: {shows}"
    if inbox_error:
        return f"event {event_id!r} is neither settled nor dead-lettered; inbox: {inbox_error}"
    return (
        f"event {event_id!r} never arrived here: compare the id with Stripe's dashboard,"
        " and check that the endpoint there sends this type"
    )
