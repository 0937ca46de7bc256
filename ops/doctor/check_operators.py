"""Check that a second person exists where bulk actions need the approval of one."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ops.console_tokens import Role, read_tokens
from ops.doctor.findings import Finding, ok, warning
from ops.terminal.formats import format_count
from runtime.settings import Settings, SettingsError

_CHECK: Final = "PAIDUP_APPROVAL_ABOVE"
_NEEDED: Final = 2


def check_operators(settings: Settings) -> Iterator[Finding]:
    """Warn if approvals are asked for and fewer than two people can log in to give one."""
    above = settings.approval_above
    if above is None:
        return
    says = f"bulk actions on more than {above} events need a second person"
    if any(rule.role == "operator" for rule in settings.oidc_roles):
        yield ok(_CHECK, f"{says}, and PAIDUP_OIDC_ROLES lets operators in")
        return
    operators = format_count(_operators(settings), "operator")
    if _operators(settings) < _NEEDED:
        more = "add one with `paidup console token NAME --role operator`"
        yield warning(_CHECK, f"{says}, and PAIDUP_CONSOLE_TOKENS names {operators}: {more}")
    else:
        yield ok(_CHECK, f"{says}, and PAIDUP_CONSOLE_TOKENS names {operators}")


def _operators(settings: Settings) -> int:
    """Count the names, as an approval does; another check reports entries that cannot be read."""
    with suppress(SettingsError):
        tokens = read_tokens(settings.console_tokens)
        return len({token.name.casefold() for token in tokens if token.role is Role.OPERATOR})
    return 0
