"""What ``doctor`` says: one sentence for each thing it looked at."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How much a finding matters; only a problem makes ``doctor`` fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, and what was seen; the sentence ends with what to do."""

    check: str
    state: State
    says: str


def ok(check: str, says: str) -> Finding:
    """All is as it must be."""
    return Finding(check=check, state=State.OK, says=says)


def warning(check: str, says: str) -> Finding:
    """It works, and somebody should know this about it."""
    return Finding(check=check, state=State.WARNING, says=says)


def problem(check: str, says: str) -> Finding:
    """A promise of Paidup does not hold."""
    return Finding(check=check, state=State.PROBLEM, says=says)
