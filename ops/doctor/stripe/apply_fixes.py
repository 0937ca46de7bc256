"""Make the planned changes at Stripe, each audited, and keep a new signing secret out of sight.

Stripe shows the secret of a new endpoint once, in its answer. It goes into a file that only its
owner can read, which is made before the endpoint is: a secret that could not be kept would be lost.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ops.bulk_audit import BulkAudit
from ops.doctor.stripe.ask import AskStripe
from ops.doctor.stripe.fixes import EndpointChange
from ops.errors import CommandFailed
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiFailure

TARGET: Final = "stripe_endpoint"
REQUESTED: Final = "stripe_endpoint.change_requested"
_PAGE: Final = "https://dashboard.stripe.com/webhooks"
_MADE: Final = (
    ". If it finds the endpoint, it was created all the same: take its signing secret from its page"
    f" at {_PAGE}"
)
CHANGED: Final = "stripe_endpoint.changed"


class FixRun:
    """The changes of one run."""

    def __init__(
        self, api: AskStripe, account: ApiAccount, audit: BulkAudit, secret_file: Path | None
    ) -> None:
        """Take an audit without targets of its own, and the file for a new secret."""
        self._api = api
        self._account = account
        self._audit = audit
        self._secret_file = secret_file

    def make(self, changes: Sequence[EndpointChange]) -> None:
        """Make each change in turn.

        Raises:
            CommandFailed: Stripe refused one, or the file cannot be written; the rest is not made.
        """
        for change in changes:
            self._audited(change.endpoint).record(REQUESTED, "done", {"change": change.says})
            try:
                endpoint = self._create(change) if change.creates else self._send(change)
            except (ApiFailure, OSError) as error:
                self._audited(change.endpoint).record(CHANGED, "failed", {"change": change.says})
                said = f"could not {change.says}: {error}"
                again = f"run `paidup doctor --stripe` again{_MADE if change.creates else ''}"
                raise CommandFailed(f"{said}; {again}") from error
            self._audited(endpoint).record(CHANGED, "done", {"change": change.says})

    def _send(self, change: EndpointChange) -> str:
        self._api.send(change.path, change.form, self._account)
        return change.endpoint

    def _create(self, change: EndpointChange) -> str:
        if self._secret_file is None:
            raise CommandFailed("--secret-file is missing: name a new file for the signing secret")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        with os.fdopen(os.open(self._secret_file, flags, 0o600), "w", encoding="utf-8") as file:
            try:
                body = self._api.send(change.path, change.form, self._account).body
            except ApiFailure:
                self._secret_file.unlink()
                raise
            file.write(f"{_secret_in(body)}\n")
        return str(body.get("id"))

    def _audited(self, endpoint: str) -> BulkAudit:
        return BulkAudit(
            engine=self._audit.engine,
            actor=self._audit.actor,
            reason=self._audit.reason,
            targets=[(TARGET, endpoint)],
        )


def _secret_in(body: Mapping[str, Any]) -> str:
    secret = body.get("secret")
    if not isinstance(secret, str) or not secret:
        raise CommandFailed(
            "Stripe created the endpoint and showed no secret: take it from the endpoint's page at"
            f" {_PAGE}"
        )
    return secret
