"""Where an event is: settled, in the inbox, among the dead letters, or nowhere."""

from ops import connections as doors
from ops.errors import NotDone
from ops.events.render import ShownEvent
from ops.queries.event_trace import recorded, unsettled
from runtime.inbox.entries import Glimpse
from runtime.settings import Settings


def look_up(settings: Settings, event_id: str) -> ShownEvent:
    """The inbox first: what leaves it between the two questions is in the database by then.

    Raises:
        NotDone: no such event has ever arrived here, as far as can be seen.
    """
    pending: tuple[Glimpse, ...] = ()
    blind = None
    try:
        with doors.asking_inbox(settings) as inbox:
            pending = unsettled(inbox, event_id)
    except NotDone as error:
        blind = str(error)
    with doors.database(settings, asker="events") as engine, doors.snapshot(engine) as connection:
        kept = recorded(connection, event_id)
    if kept.empty and not pending:
        raise NotDone(_unknown(event_id, blind))
    return ShownEvent(event_id=event_id, recorded=kept, pending=pending, blind=blind)


def _unknown(event_id: str, blind: str | None) -> str:
    if blind:
        return f"event {event_id!r} is neither settled nor a dead letter; for the inbox: {blind}"
    return (
        f"no event {event_id!r} has ever arrived here: compare the id with Stripe's dashboard,"
        " and see whether the endpoint there sends this type"
    )
