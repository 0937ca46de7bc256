"""Read for pages, and render them: what every page of the console shares.

    request -frame.read-> frozen values -frame.render-> template in the base page

A page reads in one read-only snapshot with short time limits, so that a slow query never keeps
the read API waiting: pages have connections of their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo

from flask import Response, abort, request
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from billing.ids import Realm
from billing.projection.operator_grants import FEATURES_PLAN
from billing.projection.stripe_entitlements import STRIPE_PLAN
from ops.console.access.console_access import render_page
from ops.console.access.page_access import quoted_page
from ops.console.connections import ask
from ops.console.pages.links import href_of
from ops.console.pages.sentences import mark_sentence
from ops.errors import first_line
from ops.queries.parties import configured_realms
from ops.terminal.formats import format_count, format_duration, format_rate
from ops.terminal.money import format_money
from runtime.ledger.errors import CatalogueMissing, LedgerError
from runtime.ledger.record import Ledger
from runtime.settings import Settings
from runtime.time_limits import RETRY_AFTER_SECONDS

SOLD_BY_NONE: Final = frozenset({FEATURES_PLAN, STRIPE_PLAN})
"""Plan codes of grants that no plan sells, so there is no page about them."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigationEntry:
    """One entry of the navigation; ``endpoint`` is where it leads."""

    label: str
    endpoint: str

    @property
    def subject(self) -> str:
        """The blueprint whose pages belong to the entry."""
        return self.endpoint.partition(".")[0]


class PageUnavailable(ServiceUnavailable):
    """PostgreSQL failed, or has no plans yet; the page says so and is worth another try."""

    def __init__(self, error: Exception) -> None:
        said = str(error) if isinstance(error, LedgerError) else first_line(error)
        super().__init__(
            f"PostgreSQL failed: {said}. Load the page again, and run `paidup doctor` if it stays"
            " away.",
            retry_after=RETRY_AFTER_SECONDS,
        )


class Frame:
    """Reads and renders for the pages of one server process; used by all its threads."""

    def __init__(self, settings: Settings, engine: Engine, ledger: Ledger) -> None:
        """Read by the engine, whose connections write nothing, and write by the ledger."""
        self.settings = settings
        self.realms: tuple[Realm, ...] = configured_realms(settings)
        self.zone: ZoneInfo = settings.time_zone
        self._engine = engine
        self.ledger = ledger
        self._navigation: list[NavigationEntry] = []

    def add_to_navigation(self, label: str, endpoint: str) -> None:
        """Add an entry after those that were added before."""
        self._navigation.append(NavigationEntry(label=label, endpoint=endpoint))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what the work reads in one snapshot; ask again if PostgreSQL restarted meanwhile.

        Raises:
            PageUnavailable: PostgreSQL failed, did not answer in time, or has no plans yet.
        """
        try:
            return ask(self._engine, work)
        except (SQLAlchemyError, CatalogueMissing) as error:
            raise PageUnavailable(error) from error

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Return what the work returns, and commit what it wrote.

        Raises:
            PageUnavailable: PostgreSQL failed or did not answer in time.
        """
        try:
            return self.ledger.transact(work)
        except (SQLAlchemyError, LedgerError) as error:
            raise PageUnavailable(error) from error

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return the page as a response."""
        return render_page(template, status=status, **values)

    def template_values(self) -> Mapping[str, Any]:
        """Return the names that every template may use, beside what its page gives it."""
        return {
            "navigation": self._navigation,
            "subject": request.blueprint,
            "here": quoted_page(request.root_path + request.path, request.query_string),
            "new_key": lambda: str(uuid4()),
            "href_of": href_of,
            "sold_by_none": SOLD_BY_NONE,
            "now": datetime.now(UTC),
        }

    def template_filters(self) -> Mapping[str, Callable[..., Any]]:
        """Return the filters that every template may use."""
        return {
            "count": format_count,
            "duration": format_duration,
            "money": format_money,
            "rate": format_rate,
            "sentence": mark_sentence,
            "local": self.local_time,
        }

    def local_time(self, at: datetime) -> str:
        """Return a time to the second in the zone of the deployment."""
        return f"{at.astimezone(self.zone):%Y-%m-%d %H:%M:%S}"


def found_or_404(found: T | None) -> T:
    """Return what was found; abort with the 404 page if it is None."""
    if found is None:
        abort(404)
    return found
