"""The pages of users and of what they buy, on the servers of a test."""

from collections.abc import Callable, Sequence

from flask import Blueprint

from ops.console.access.people import Person
from ops.console.pages.customers import customers_pages
from ops.console.pages.frame import Frame
from ops.console.pages.inbox import PageInbox
from ops.console.pages.payments import payments_pages
from ops.console.pages.plans import plans_pages
from ops.console.pages.purchases import purchases_pages
from ops.console.pages.search import search_pages
from ops.console.pages.statements import PageStatements
from ops.console.pages.subscriptions import subscriptions_pages
from ops.console.pages.users import users_pages
from ops.console_tokens import Role
from ops.queries.waiting_events import InboxSearch
from runtime.database.engine import make_engine
from runtime.inbox.entries import PeekedEvent
from runtime.inbox.inbox import Inbox
from runtime.ledger.deployment import ledger_of
from runtime.settings import Settings
from tests.ops.console.pages.page_client import PageClient, ShownPage


class FakePageInbox(PageInbox):
    """Finds ``found``, however it is looked for."""

    def __init__(self) -> None:
        self.found = InboxSearch()

    def search(self, _: Callable[[Inbox], Sequence[PeekedEvent]]) -> InboxSearch:
        return self.found


class BusinessPages(PageClient):
    """Asks for the pages of users and what they buy."""

    def __init__(self, url: str) -> None:
        self.inbox = FakePageInbox()
        settings = Settings.from_env({"DATABASE_URL": url, "PAIDUP_LIVEMODE": "any"})
        self._stating = make_engine(settings, application_name="tests", pool_size=2)
        self._statements = PageStatements(settings, ledger_of(settings, self._stating))
        super().__init__(settings, self._pages)

    def close(self) -> None:
        super().close()
        self._stating.dispose()

    def get_as_htmx(self, path: str, **given: str) -> ShownPage:
        """Get a page as a part of another one asks for it."""
        self._access.person = Person(name="ada", role=Role.OPERATOR, session="1")
        headers = {"HX-Request": "true"}
        return ShownPage(response=self._client.get(path, query_string=given, headers=headers))

    def _pages(self, frame: Frame) -> list[Blueprint]:
        return [
            users_pages(frame, self._statements, self.inbox),
            customers_pages(frame),
            subscriptions_pages(frame),
            payments_pages(frame),
            purchases_pages(frame),
            plans_pages(frame),
            search_pages(frame),
            _events(),
        ]


def _events() -> Blueprint:
    """Return what stands for the pages of events."""
    events = Blueprint("events", __name__)
    events.add_url_rule("/events", "find", lambda: "events")
    events.add_url_rule("/events/<key>", "show", lambda key: f"event {key}")
    return events
