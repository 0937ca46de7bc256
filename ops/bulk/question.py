"""The question of a job that paused by itself: may it act on users whom its preview did not name?

A plan keeps it as the reason of its state, in words for people; pages read it from there. The id of
a user may be any text, so the commands quote it. Pure.
"""

import re
import shlex
from dataclasses import dataclass
from typing import Final

_RESUME: Final = "paidup jobs resume"
_ASKED: Final = re.compile(
    r"(?P<event>\S+) would take access from or move money of .+, whom the preview did not name:"
    rf" `{_RESUME} (?P<plan>\d+) (?P<allow>--allow .+)` lets it, ",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An event, and the users from whom it would take access or whose money it would move."""

    event: str
    users: tuple[str, ...]

    def says(self, plan: int) -> str:
        """Return the question with the commands that answer it."""
        allow = " ".join(f"--allow {shlex.quote(user)}" for user in self.users)
        return (
            f"{self.event} would take access from or move money of {', '.join(self.users)}, whom"
            f" the preview did not name: `{_RESUME} {plan} {allow}` lets it,"
            f" `{_RESUME} {plan} --skip {self.event}` leaves it out"
        )


def read_question(reason: str | None) -> Question | None:
    """Return the question that the reason of a paused plan asks, None if a person paused it."""
    asked = _ASKED.match(reason or "")
    if asked is None:
        return None
    try:
        plan, users = int(asked["plan"]), shlex.split(asked["allow"])[1::2]
    except ValueError:
        return None
    question = Question(event=asked["event"], users=tuple(users))
    # An id that looks like a part of a question is not read as one.
    return question if question.says(plan) == reason else None
