"""The catalogue as the truth reads it: plain dictionaries, and nothing of ``billing``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.samples.worlds.offers import DEFAULT_POLICY, StripePrice

Feature = bool | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The document of ``plans.toml`` and those before it, the newest first."""

    document: Mapping[str, Any]
    former: Sequence[Mapping[str, Any]] = field(default=())

    def policy(self, line: str) -> str:
        """Return a line of ``[policy]``."""
        return str(self.document.get("policy", {}).get(line, DEFAULT_POLICY[line]))

    @property
    def user_from(self) -> tuple[str, ...]:
        """The words that name users, the first first."""
        stated = self.document.get("identity", {}).get("user_from")
        return tuple(stated or ("metadata", "client_reference_id"))

    @property
    def metadata_keys(self) -> tuple[str, ...]:
        """The keys of metadata that name a user."""
        return tuple(self.document.get("identity", {}).get("metadata_keys") or ("user_id",))

    def user_in(self, metadata: Mapping[str, str]) -> str | None:
        """Return the user whom metadata names."""
        return next((metadata[key] for key in self.metadata_keys if key in metadata), None)

    def plan(self, ref: str | None) -> str | None:
        """Return the plan that this price id, lookup key, product or payment link stands for."""
        return _plan_in(self.document, ref)

    def plan_or_former(self, ref: str | None) -> tuple[str | None, bool]:
        """Return the plan of a name, and whether this catalogue or an earlier one knows it."""
        if code := _plan_in(self.document, ref):
            return code, True
        return None, self.was_sold(ref)

    def code_or_former(self, code: str | None) -> tuple[str | None, bool]:
        """Return the plan of a code, and whether this catalogue or an earlier one knows it."""
        if code in self.document["plans"]:
            return code, True
        return None, any(code in document["plans"] for document in self.former)

    def first_known(self, metadata: Mapping[str, str], link: str | None) -> tuple[str | None, int]:
        """Return the plan that the first known name stands for, and how many came before it.

        The names are ``price_id``, ``plan_code`` and the payment link. Where none is known, the
        second value is the number of names.
        """
        price, code = metadata.get("price_id"), metadata.get("plan_code")
        found = [
            (price, self.plan_or_former(price)),
            (code, self.code_or_former(code)),
            (link, self.plan_or_former(link)),
        ]
        named = [plan for name, plan in found if name is not None]
        for number, (plan, known) in enumerate(named):
            if known:
                return plan, number
        return None, len(named)

    def was_sold(self, ref: str | None) -> bool:
        """Return whether an earlier catalogue had the name."""
        return any(_plan_in(document, ref) is not None for document in self.former)

    def plan_of_code(self, code: str | None) -> str | None:
        """Return the code if there is such a plan."""
        return code if code in self.document["plans"] else None

    def is_nothing(self, offer: StripePrice) -> bool:
        """Return whether the price grants nothing on purpose."""
        names = self.document.get("catalogue", {}).get("nothing", ())
        return bool({offer.price, offer.lookup_key, offer.product} & set(names))

    def grace_days(self, code: str) -> int:
        """Return the days of grace of a plan."""
        return int(self.document["plans"][code].get("grace_days", 0))

    def lasts_days(self, code: str) -> int | None:
        """Return the days that a purchase of the plan lasts."""
        days = self.document["plans"][code].get("lasts_days")
        return None if days is None else int(days)

    def per_seat(self, code: str) -> frozenset[str]:
        """Return the features of the plan that count by seat."""
        return frozenset(self.document["plans"][code].get("per_seat", ()))

    def features(self, code: str, quantity: int) -> dict[str, Feature]:
        """Return what so many of a plan grant."""
        stated = self.document["plans"][code].get("features", {})
        seats = {name: stated.get(name, 1) * quantity for name in self.per_seat(code)}
        return {**stated, **seats}


def _plan_in(document: Mapping[str, Any], ref: str | None) -> str | None:
    if ref is None:
        return None
    return next(
        (code for code, plan in document["plans"].items() if ref in plan.get("prices", ())), None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueGrant:
    """The grant of one source to a user under one plan, at the end."""

    user: str
    source: str
    plan: str
    features: Mapping[str, Feature]
    per_seat: frozenset[str] = frozenset()
    expires_at: int | None = None
    aliases: frozenset[str] = frozenset()
    """Other references of the same purchase, where the rules leave open which one is its key."""


def merged(grants: Iterable[TrueGrant]) -> dict[str, Feature]:
    """Return the features of several grants: "or", the maximum, the sum of seats."""
    found: dict[str, list[Feature]] = {}
    seats: dict[str, int] = {}
    for grant in grants:
        for name, value in grant.features.items():
            if name in grant.per_seat and not isinstance(value, bool):
                seats[name] = seats.get(name, 0) + value
            else:
                found.setdefault(name, []).append(value)
    for name, total in seats.items():
        found.setdefault(name, []).append(total)
    return {name: max(values) for name, values in sorted(found.items())}
