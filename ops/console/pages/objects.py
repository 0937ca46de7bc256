"""Lists of objects of Stripe and pages of one: what customers, subscriptions and the like share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from flask import Response, abort, request
from sqlalchemy import Connection

from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import (
    ListForm,
    asked_page,
    beside,
    first_page,
    lead_to,
    read_list_form,
)
from ops.queries.pages import Page, PageRequest, UnusableCursor

T = TypeVar("T")
Filter = TypeVar("Filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectList(Generic[Filter]):
    """A list of objects: its template, its filter as the form says it, and how a page is read."""

    template: str
    read_filter: Callable[[ListForm], Filter]
    load: Callable[[Connection, Filter, PageRequest], Page[Any]]


def show_list(frame: Frame, shown: ObjectList[Filter], **values: Any) -> Response:
    """Return the page of a list that the request asks for; ``values`` are for its template."""
    form = read_list_form(frame.zone, datetime.now(UTC))
    wanted = shown.read_filter(form)
    if form.errors:
        return frame.render(shown.template, status=422, form=form, page=None, **values)
    try:
        page = frame.read(lambda connection: shown.load(connection, wanted, asked_page()))
    except UnusableCursor:
        return lead_to(first_page())
    return frame.render(shown.template, form=form, page=page, beside=beside(page), **values)


def choose_realm(found: Sequence[T], realm_of: Callable[[T], str]) -> tuple[T, tuple[str, ...]]:
    """Return the object in the realm that the request names, else in the first; and the others.

    Abort with the 404 page if no realm knows the object.
    """
    if not found:
        abort(404)
    wanted = request.args.get("realm")
    chosen = next((each for each in found if realm_of(each) == wanted), found[0])
    return chosen, tuple(realm_of(each) for each in found if each is not chosen)
