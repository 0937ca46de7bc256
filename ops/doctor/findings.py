"""The findings of ``doctor``: one sentence for each check."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The weight of a finding; only a problem makes ``doctor`` exit with 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The name of a check and its result; a problem or warning ends with what to do."""

    check: str
    state: State
    says: str


def ok(check: str, says: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check=check, state=State.OK, says=says)


def warning(check: str, says: str) -> Finding:
    """Return a finding that an operator should know, though everything works."""
    return Finding(check=check, state=State.WARNING, says=says)


def problem(check: str, says: str) -> Finding:
    """Return a finding that breaks a promise of Paidup."""
    return Finding(check=check, state=State.PROBLEM, says=says)
