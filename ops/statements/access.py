"""The access of a user at a moment, to show beside what a statement makes of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.projection.effective import AlikeGrants, EffectiveValue, merge_alike


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAccess:
    """The features of a user at a moment."""

    features: Mapping[str, EffectiveValue]

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "UserAccess":
        """Return the access of its JSON."""
        return cls(
            features={
                name: EffectiveValue(
                    value=each["value"],
                    expires_at=each["until"] and datetime.fromisoformat(each["until"]),
                )
                for name, each in document.items()
            }
        )

    def document(self) -> dict[str, Any]:
        """Return the access as JSON: value and end by feature."""
        return {
            name: {
                "value": each.value,
                "until": each.expires_at and each.expires_at.isoformat(),
            }
            for name, each in self.features.items()
        }


def access_by(grants: Iterable[AlikeGrants]) -> UserAccess:
    """Return what these grants give."""
    return UserAccess(features=merge_alike(grants))
