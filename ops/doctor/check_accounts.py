"""Find events of an organization that keep one's own copies of them from being applied.

Stripe sends an event of one's own account to an organization's destination as well, with the
account in ``context``. Both copies have one id. If the organization's copy comes first and its
account is not listed, it is settled as ignored, and one's own copy counts as its duplicate.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, Row, text

from ops.doctor.findings import Finding, warning
from ops.terminal.formats import format_count

_CHECK: Final = "accounts"
_VARIABLE: Final = "PAIDUP_CONNECT_ACCOUNTS"
_SHOWN: Final = 5

# The fingerprint of a copy whose account stands in ``context`` alone is that of one's own copy,
# which has no account (``billing.envelope``). Its parts are columns, so no body is read.
_IN_PLACE_OF_OURS: Final = text(
    "SELECT id, account, count(*) OVER () AS events FROM stripe_events"
    " WHERE reason = 'unknown_account' AND fingerprint = left(encode(sha256(convert_to("
    "  concat_ws(E'\\n', type, '', CASE WHEN livemode THEN 'True' ELSE 'False' END,"
    "   coalesce(object_id, '')), 'UTF8')), 'hex'), 16)"
    " ORDER BY settlement LIMIT :shown"
)


def check_accounts(connection: Connection) -> Iterator[Finding]:
    """Name such events, their accounts, and the replay that applies them."""
    found = connection.execute(_IN_PLACE_OF_OURS, {"shown": _SHOWN}).all()
    if found:
        yield warning(_CHECK, _describe(found, found[0].events))


def _describe(found: Sequence[Row[tuple[str, str, int]]], events: int) -> str:
    ids = [row.id for row in found]
    accounts = ", ".join(sorted({row.account for row in found}))
    chosen = " ".join(ids) if events == len(ids) else "--outcome ignored"
    named = ", ".join(ids if events == len(ids) else [*ids, "..."])
    came = format_count(events, "event came", "events came")
    return (
        f"{came} to an organization's destination without effect, since {_VARIABLE} does not list"
        f" {accounts}: {named}. A copy from your own endpoint counts as a duplicate. If the account"
        " is yours, list it, restart the workers, and run"
        f" `paidup replay {chosen} --reason WHY`; then let one endpoint alone deliver its events"
    )
