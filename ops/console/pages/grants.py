"""Give a user access, and end it: a page says what would change before it is done."""

from flask import Blueprint, Response, request, url_for
from sqlalchemy import Connection

from billing.text import storable
from ops.console.access.people import current_person, require
from ops.console.pages.frame import Frame, found_or_404
from ops.console.pages.grant_form import GrantForm
from ops.console.pages.list_forms import lead_to
from ops.console.pages.statements import FormRefused, PageStatements, in_labels
from ops.console_tokens import Role
from ops.errors import CommandFailed
from ops.queries.grants import ListedGrant, find_grant
from ops.statements.grants import EndRequest, GrantResult
from ops.statements.request import read_reason
from runtime.idempotency import CallResult
from runtime.ledger import catalogues


def add_grant_routes(pages: Blueprint, frame: Frame, statements: PageStatements) -> None:
    """Add the routes that make a grant and end one to the pages of users."""
    desk = _GrantPages(frame, statements)

    @pages.post("/users/grants/preview")
    def preview_grant() -> Response:
        require(Role.OPERATOR)
        return desk.preview(GrantForm.read(request.form))

    @pages.post("/users/grants")
    def add_grant() -> Response:
        require(Role.OPERATOR)
        return desk.add(GrantForm.read(request.form))

    @pages.get("/users/grants/end")
    def ask_grant_end() -> Response:
        require(Role.OPERATOR)
        return desk.ask_end(storable(request.args.get("grant", "")))

    @pages.post("/users/grants/end/preview")
    def preview_grant_end() -> Response:
        require(Role.OPERATOR)
        return desk.end(storable(request.form.get("grant", "")), dry_run=True)

    @pages.post("/users/grants/end")
    def end_grant() -> Response:
        require(Role.OPERATOR)
        return desk.end(storable(request.form.get("grant", "")), dry_run=False)


class _GrantPages:
    """The pages about one grant."""

    def __init__(self, frame: Frame, statements: PageStatements) -> None:
        self._frame = frame
        self._statements = statements

    def preview(self, form: GrantForm) -> Response:
        """Show what the user may do now and with the grant."""
        try:
            called = self._statements.try_out(lambda connection: self._add(connection, form))
        except (CommandFailed, FormRefused) as error:
            return self._refused(form, error)
        if called.repeated:
            return _to_user(called.result)
        return self._frame.render("users/grant.html", form=form, result=called.result, error="")

    def add(self, form: GrantForm) -> Response:
        """Make the grant, once for its key, and lead to its user."""
        try:
            called = self._statements.state(lambda connection: self._add(connection, form))
        except (CommandFailed, FormRefused) as error:
            return self._refused(form, error)
        return _to_user(called.result)

    def ask_end(self, grant: str) -> Response:
        """Ask for the reason why a grant is to end."""
        return self._end_page(grant)

    def end(self, grant: str, *, dry_run: bool) -> Response:
        """End a grant, or show what the user may do without it."""
        key, reason = request.form.get("idempotency_key", ""), request.form.get("reason", "")
        in_transaction = self._statements.try_out if dry_run else self._statements.state
        try:
            end = EndRequest(id=grant, actor=current_person().actor, reason=read_reason(reason))
            called = in_transaction(
                lambda connection: self._statements.grants.end(
                    connection, end, key=key, scope=current_person().name
                )
            )
        except (CommandFailed, FormRefused) as error:
            return self._end_page(grant, reason=reason, error=in_labels(str(error)))
        if not dry_run or called.repeated:
            return _to_user(called.result)
        return self._end_page(grant, reason=reason, key=key, result=called.result)

    def _add(self, connection: Connection, form: GrantForm) -> CallResult[GrantResult]:
        person = current_person()
        asked = form.request(person.actor, self._frame.zone)
        return self._statements.grants.add(
            connection, asked, key=form.idempotency_key, scope=person.name
        )

    def _refused(self, form: GrantForm, error: Exception) -> Response:
        plans = self._frame.read(catalogues.current_catalogue).catalogue.plans
        return self._frame.render(
            "users/grant.html",
            status=422,
            form=form.renewed(),
            result=None,
            plans=plans,
            error=in_labels(str(error)),
        )

    def _end_page(
        self,
        grant: str,
        *,
        reason: str = "",
        key: str = "",
        result: GrantResult | None = None,
        error: str = "",
    ) -> Response:
        def find(connection: Connection) -> ListedGrant | None:
            return find_grant(connection, grant)

        return self._frame.render(
            "users/grant_end.html",
            status=422 if error else 200,
            grant=found_or_404(self._frame.read(find)),
            reason=reason,
            key=key,
            result=result,
            error=error,
        )


def _to_user(result: GrantResult) -> Response:
    return lead_to(url_for("users.show", user_id=result.user_id, done=result.grant))
