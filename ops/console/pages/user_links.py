"""Say whose an object of Stripe is, and take that back: a page says first what would move."""

from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4

from flask import Blueprint, Response, request, url_for
from sqlalchemy import Connection

from billing.text import storable
from ops.console.access.people import current_person, require
from ops.console.pages.frame import Frame, found_or_404
from ops.console.pages.list_forms import lead_to
from ops.console.pages.statements import FormRefused, PageStatements, in_labels
from ops.console_tokens import Role
from ops.errors import CommandFailed
from ops.queries.links import ListedLink, find_link
from ops.statements.grants import EndRequest
from ops.statements.links import LinkRequest, LinkResult
from ops.statements.request import read_reason
from ops.statements.users import find_user
from runtime.idempotency import CallResult

_TICKED: Final = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkForm:
    """The fields of a link as a person typed them; ``user`` may be an address, too."""

    target: str
    user: str
    reason: str
    new_user: bool
    idempotency_key: str

    @classmethod
    def of_request(cls) -> "LinkForm":
        """Return the form that a browser sent."""
        sent = request.form
        return cls(
            target=storable(sent.get("target", "")).strip(),
            user=sent.get("user", ""),
            reason=sent.get("reason", ""),
            new_user=sent.get("new_user") == _TICKED,
            idempotency_key=sent.get("idempotency_key", ""),
        )


def add_link_routes(pages: Blueprint, frame: Frame, statements: PageStatements) -> None:
    """Add the routes that make a link and take one back to the pages of users."""
    about = _LinkPages(frame, statements)

    @pages.get("/users/links/new")
    def ask_link() -> Response:
        require(Role.OPERATOR)
        return about.ask(request.args.get("target", ""), request.args.get("user", ""))

    @pages.post("/users/links/preview")
    def preview_link() -> Response:
        require(Role.OPERATOR)
        return about.add(LinkForm.of_request(), dry_run=True)

    @pages.post("/users/links")
    def add_link() -> Response:
        require(Role.OPERATOR)
        return about.add(LinkForm.of_request(), dry_run=False)

    @pages.get("/users/links/end")
    def ask_link_end() -> Response:
        require(Role.OPERATOR)
        return about.ask_end(storable(request.args.get("link", "")))

    @pages.post("/users/links/end/preview")
    def preview_link_end() -> Response:
        require(Role.OPERATOR)
        return about.end(storable(request.form.get("link", "")), dry_run=True)

    @pages.post("/users/links/end")
    def end_link() -> Response:
        require(Role.OPERATOR)
        return about.end(storable(request.form.get("link", "")), dry_run=False)


class _LinkPages:
    """The pages about one link."""

    def __init__(self, frame: Frame, statements: PageStatements) -> None:
        self._frame = frame
        self._statements = statements

    def ask(self, target: str, user: str) -> Response:
        """Ask whose an object is, or what is of a user, and for the reason."""
        form = LinkForm(
            target=target, user=user, reason="", new_user=False, idempotency_key=str(uuid4())
        )
        return self._frame.render("users/link.html", form=form, result=None, error="")

    def add(self, form: LinkForm, *, dry_run: bool) -> Response:
        """Make the link, or show what would move and what stays."""
        in_transaction = self._statements.try_out if dry_run else self._statements.state
        try:
            asked = self._request(form)
            called = in_transaction(
                lambda connection: self._statements.links.add(
                    connection, asked, key=form.idempotency_key, scope=current_person().name
                )
            )
        except (CommandFailed, FormRefused) as error:
            again = replace(form, idempotency_key=str(uuid4()))
            says = in_labels(str(error))
            return self._frame.render(
                "users/link.html", status=422, form=again, result=None, error=says
            )
        if not dry_run or called.repeated:
            return _to_user(called)
        return self._frame.render("users/link.html", form=form, result=called.result, error="")

    def ask_end(self, link: str) -> Response:
        """Ask for the reason why a link is taken back."""
        return self._end_page(link)

    def end(self, link: str, *, dry_run: bool) -> Response:
        """Take a link back, or show what would move and what stays."""
        key, reason = request.form.get("idempotency_key", ""), request.form.get("reason", "")
        in_transaction = self._statements.try_out if dry_run else self._statements.state
        try:
            end = EndRequest(id=link, actor=current_person().actor, reason=read_reason(reason))
            called = in_transaction(
                lambda connection: self._statements.links.end(
                    connection, end, key=key, scope=current_person().name
                )
            )
        except (CommandFailed, FormRefused) as error:
            return self._end_page(link, reason=reason, error=in_labels(str(error)))
        if not dry_run or called.repeated:
            return _to_user(called)
        return self._end_page(link, reason=reason, key=key, result=called.result)

    def _request(self, form: LinkForm) -> LinkRequest:
        def find(connection: Connection) -> str:
            return find_user(connection, self._frame.realms, form.user, new_user=form.new_user)

        return LinkRequest(
            target=form.target,
            user_id=self._frame.read(find),
            actor=current_person().actor,
            reason=read_reason(form.reason),
            new_user=form.new_user,
        )

    def _end_page(
        self,
        link: str,
        *,
        reason: str = "",
        key: str = "",
        result: LinkResult | None = None,
        error: str = "",
    ) -> Response:
        def find(connection: Connection) -> ListedLink | None:
            return find_link(connection, link)

        return self._frame.render(
            "users/link_end.html",
            status=422 if error else 200,
            link=found_or_404(self._frame.read(find)),
            reason=reason,
            key=key,
            result=result,
            error=error,
        )


def _to_user(called: CallResult[LinkResult]) -> Response:
    result = called.result
    return lead_to(url_for("users.show", user_id=result.user_id, done=result.link))
