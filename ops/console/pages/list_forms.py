"""Read the form above a list, and lead from one page of the list to the next."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from flask import Response, request, url_for

from billing.readers.search_terms import is_stripe_id
from billing.text import storable
from ops.queries.pages import Page, PageRequest
from ops.terminal.formats import format_time, parse_time

_CURSORS: Final = frozenset({"after", "before"})
_TYPE: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+(\[[a-z0-9_.]+\])?)+")
_AGE: Final = re.compile(r"\s*\d{1,9}\s*[smhdw]\s*")
_EVENT: Final = "evt_"
_MOST_IDS: Final = 20
_CUSTOMERS: Final = ("cus_", "gcus_")


@dataclass(slots=True, kw_only=True)
class ListForm:
    """The texts that a person typed into the form above a list, and what is wrong with them."""

    given: Mapping[str, str]
    zone: ZoneInfo
    now: datetime
    errors: list[str] = field(default_factory=list)

    def text(self, name: str) -> str | None:
        """Return a text, None if nothing was typed."""
        return storable(self.given.get(name, "")).strip() or None

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """Return one of the choices, None if none was made."""
        chosen = self.text(name)
        if chosen and chosen not in choices:
            self.errors.append(f"“{chosen}” is none of {', '.join(choices)}.")
            return None
        return chosen

    def types(self, name: str) -> tuple[str, ...]:
        """Return types of events, which commas or spaces part."""
        found = dict.fromkeys((self.text(name) or "").replace(",", " ").split())
        for each in found:
            if not _TYPE.fullmatch(each):
                self.errors.append(f"“{each}” is no type of event, such as invoice.paid.")
        return tuple(each for each in found if _TYPE.fullmatch(each))

    def time(self, name: str) -> datetime | None:
        """Return a time in the zone of the deployment, or an age such as 2h before now."""
        text = self.text(name)
        if text is None:
            return None
        try:
            if _AGE.fullmatch(text):
                return parse_time(text, now=self.now)
            at = datetime.fromisoformat(text)
            return at if at.tzinfo else at.replace(tzinfo=self.zone)
        except (ValueError, OverflowError):
            self.errors.append(
                f"“{text}” is no time: write 2026-11-22 12:00, 2026-11-22 or an age such as 2h."
            )
            return None

    def time_range(self, since: str, until: str) -> dict[str, Any]:
        """Return the two times as fields of a filter."""
        begin, end = self.time(since), self.time(until)
        if begin and end and begin >= end:
            self.errors.append(f"The range ends before it begins at {format_time(begin)}.")
        return {"since": begin, "until": end}

    def about(self, name: str) -> dict[str, Any]:
        """Return whom or what a text means, as fields of an ``EventFilter``.

        It may be several ids of Stripe; all other text is one user, an address or a name.
        """
        text = self.text(name)
        if text is None:
            return {}
        parts = text.replace(",", " ").split()
        if not all(part.startswith(_EVENT) or is_stripe_id(part) for part in parts):
            return {"user": text}
        if len(parts) > _MOST_IDS:
            self.errors.append(f"Name at most {_MOST_IDS} ids: each one is looked up.")
            return {}
        events = [part for part in parts if part.startswith(_EVENT)]
        customers = [part for part in parts if part.startswith(_CUSTOMERS)]
        rest = tuple(part for part in parts if part not in {*events[:1], *customers[:1]})
        found: dict[str, Any] = {"event": events[0]} if events else {}
        return found | ({"customer": customers[0]} if customers else {}) | {"objects": rest}


def read_list_form(zone: ZoneInfo, now: datetime) -> ListForm:
    """Return the form as the query of the request gives it."""
    return ListForm(given=request.args, zone=zone, now=now)


def lead_to(url: str) -> Response:
    """Return the answer that leads a browser on to another page."""
    return Response(status=303, headers={"Location": url})


def asked_page() -> PageRequest:
    """Return the page of the list that the request asks for."""
    return PageRequest(after=request.args.get("after"), before=request.args.get("before"))


def beside(page: Page[Any]) -> dict[str, str | None]:
    """Return the URLs of the pages before and after one, for ``ui.pager``."""
    return {
        "previous": _leading_to("before", page.before),
        "following": _leading_to("after", page.after),
    }


def first_page() -> str:
    """Return the URL of the list's first page with the form as it is."""
    return url_for(str(request.endpoint), **_without_cursor())


def _leading_to(side: str, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    return url_for(str(request.endpoint), **{**_without_cursor(), side: cursor})


def _without_cursor() -> dict[str, Any]:
    kept = {name: text for name, text in request.args.items() if name not in _CURSORS and text}
    return {**(request.view_args or {}), **kept}
