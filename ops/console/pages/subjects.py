"""List the subjects of the console in the order of its navigation."""

from collections.abc import Sequence

from flask import Blueprint

from ops.console.access.access_audit import record_look
from ops.console.pages.events import event_pages
from ops.console.pages.frame import Frame
from ops.console.pages.inbox import PageInbox
from ops.console.pages.overview import ObservedState, overview_pages


def pages_of(frame: Frame, state: ObservedState, inbox: PageInbox) -> Sequence[Blueprint]:
    """Return the pages of every subject."""
    return (
        overview_pages(frame, state),
        event_pages(frame, inbox, record_look),
    )
