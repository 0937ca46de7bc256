"""Read the form of a grant: texts become a request, and stay as they were typed for the next try.

Pure but for the keys of forms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from ops.errors import CommandFailed
from ops.statements.grants import GrantRequest
from ops.statements.request import read_features, read_period, read_reason, read_user
from ops.statements.times import parse_duration

FOR_GOOD: Final = "for good"
_TICKED: Final = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantForm:
    """The fields of a grant as a person typed them."""

    user_id: str
    plan: str = ""
    features: str = ""
    lasts: str = "30d"
    reason: str = ""
    new_user: bool = False
    new_feature: bool = False
    idempotency_key: str

    @classmethod
    def empty(cls, user_id: str, *, known: bool) -> "GrantForm":
        """Return the form of a new grant; who is not known yet is a new user."""
        return cls(user_id=user_id, new_user=not known, idempotency_key=str(uuid4()))

    @classmethod
    def read(cls, sent: Mapping[str, str]) -> "GrantForm":
        """Return the form that a browser sent."""
        return cls(
            user_id=sent.get("user_id", ""),
            plan=sent.get("plan", "").strip(),
            features=sent.get("features", ""),
            lasts=sent.get("lasts", ""),
            reason=sent.get("reason", ""),
            new_user=sent.get("new_user") == _TICKED,
            new_feature=sent.get("new_feature") == _TICKED,
            idempotency_key=sent.get("idempotency_key", ""),
        )

    def renewed(self) -> "GrantForm":
        """Return the form with a new key, for another request."""
        return replace(self, idempotency_key=str(uuid4()))

    def request(self, actor: str, zone: ZoneInfo) -> GrantRequest:
        """Return what the form asks for.

        Raises:
            UnreadableRequest: a field cannot be understood.
        """
        lasts, until, forever = _length(self.lasts)
        starts_at, duration, end = read_period(
            zone, starts=None, lasts=lasts, until=until, forever=forever
        )
        return GrantRequest(
            user_id=read_user(self.user_id),
            plan_code=self.plan or None,
            features=read_features(self.features.split()),
            starts_at=starts_at,
            lasts=duration,
            until=end,
            actor=actor,
            reason=read_reason(self.reason),
            new_user=self.new_user,
            new_feature=self.new_feature,
        )


def _length(text: str) -> tuple[str | None, str | None, bool]:
    """Return the duration, or the end, or true for neither; which of them a text is."""
    text = " ".join(text.split())
    if not text:
        return None, None, False
    if text.lower() == FOR_GOOD:
        return None, None, True
    if text[0].isdigit() and "-" not in text:
        try:
            parse_duration(text)
        except ValueError as error:
            raise CommandFailed(f"{error}, a date such as 2026-12-31, or `{FOR_GOOD}`") from error
        return text, None, False
    return None, text, False
