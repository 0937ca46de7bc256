"""The catalogue: the features of each plan, and the policy for money that goes back.

Operators write it as ``plans.toml``. A document with a mistake is refused as a whole; the error
lists every mistake and its place.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from billing.errors import InvalidCatalogue
from billing.ids import PlanCode

FeatureValue = bool | int
"""The value of a feature. Several grants of one feature are merged, so text is not allowed."""

MAX_GRACE_DAYS = 365
MAX_LASTS_DAYS = 36_525
"""A hundred years: what lasts longer is bought for good."""

MAX_NUMBER = 2**53 - 1
"""The largest number that every reader of JSON holds exactly."""

_NAME = re.compile(r"[!-~]{1,100}")
_LONGEST_REF = 255
_PLAN_KEYS = ("prices", "grace_days", "features", "per_seat", "lasts_days")
_DOCUMENT_KEYS = ("plans", "policy", "catalogue", "identity")
_CATALOGUE_KEYS = ("nothing", "price_keys")
_IDENTITY_KEYS = ("user_from", "metadata_keys")


class PolicyAction(StrEnum):
    """The consequence for access when money goes back, or when Stripe collects none."""

    KEEP = "keep"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of what ends access: refunds, disputes, a pause of collection, an unknown price.

    The names that begin with ``subscription_`` concern the newest paid period of a subscription,
    the other refunds and disputes a one-time purchase. ``unknown_price`` decides for a running
    subscription that changed to a price in no plan.
    """

    refund_full: PolicyAction = PolicyAction.END
    refund_partial: PolicyAction = PolicyAction.KEEP
    dispute_open: PolicyAction = PolicyAction.KEEP
    dispute_lost: PolicyAction = PolicyAction.END
    subscription_refund_full: PolicyAction = PolicyAction.KEEP
    subscription_dispute_open: PolicyAction = PolicyAction.KEEP
    subscription_dispute_lost: PolicyAction = PolicyAction.KEEP
    collection_paused: PolicyAction = PolicyAction.KEEP
    unknown_price: PolicyAction = PolicyAction.KEEP


METADATA: Final = "metadata"
CLIENT_REFERENCE_ID: Final = "client_reference_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The places where a user id is read.

    ``user_from`` lists the words that count, the most trusted first: ``metadata`` and
    ``client_reference_id``. ``metadata_keys`` are the keys of a user id; the first that is there
    counts.
    """

    user_from: tuple[str, ...] = (METADATA, CLIENT_REFERENCE_ID)
    metadata_keys: tuple[str, ...] = ("user_id",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan and every identifier at Stripe that stands for it.

    ``prices`` holds price ids, lookup keys, product ids and payment link ids alike. A purchase
    ends after ``lasts_days``; None means that it has no end of its own.
    """

    code: PlanCode
    prices: tuple[str, ...] = ()
    grace_days: int = 0
    features: Mapping[str, FeatureValue] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    per_seat: frozenset[str] = frozenset()
    lasts_days: int | None = None

    def features_for(self, quantity: int) -> dict[str, FeatureValue]:
        """Return the features of a holder of so many seats.

        A per-seat feature without a value in the plan counts one for each seat.
        """
        seats = {name: self.features.get(name, 1) * quantity for name in self.per_seat}
        return {**self.features, **seats}

    @property
    def summed_features(self) -> tuple[str, ...]:
        """The per-seat features, sorted by name as rows list them."""
        return tuple(sorted(self.per_seat))


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Plans sorted by code, and the policy. Equal documents give equal catalogues.

    ``nothing`` names prices that grant nothing on purpose. ``price_keys`` holds the lookup key that
    a price bears or bore at Stripe, by price id: a key that is transferred to a new price still
    stands for the old one (https://docs.stripe.com/api/prices/create, ``transfer_lookup_key``).

    ``former`` holds the catalogues that this one replaced, the newest first. Plans that only they
    sell keep their rows and grant nothing.
    """

    plans: tuple[Plan, ...] = ()
    policy: Policy = Policy()
    nothing: frozenset[str] = frozenset()
    identity: Identity = Identity()
    price_keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    former: tuple["Catalogue", ...] = field(default=(), repr=False, compare=False)
    _by_code: Mapping[str, Plan] = field(init=False, repr=False, compare=False)
    _by_ref: Mapping[str, Plan] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_ref = {ref: plan for plan in self.plans for ref in plan.prices}
        for price, key in self.price_keys.items():
            if key in by_ref and price not in self.nothing:
                by_ref.setdefault(price, by_ref[key])
        object.__setattr__(self, "_by_code", {plan.code: plan for plan in self.plans})
        object.__setattr__(self, "_by_ref", by_ref)

    def with_former(self, former: Iterable["Catalogue"]) -> "Catalogue":
        """Return this catalogue as the successor of ``former``, given oldest first.

        Catalogues that assign the same identifiers to the same plans count as one; the newest
        stays.
        """
        different = {_outline(self): self}
        for each in reversed(tuple(former)):
            different.setdefault(_outline(each), each)
        return replace(self, former=tuple(different.values())[1:])

    def with_price_keys(self, price_keys: Mapping[str, str]) -> "Catalogue":
        """Return this catalogue with what is known of lookup keys besides its own."""
        return replace(self, price_keys=MappingProxyType({**price_keys, **self.price_keys}))

    def names_besides_prices(self) -> tuple[str, ...]:
        """Return the names in its plans that may be lookup keys, sorted."""
        ids = ("price_", "plan_", "prod_", "plink_")
        names = {ref for plan in self.plans for ref in plan.prices if not ref.startswith(ids)}
        return tuple(sorted(names))

    def plan_by_code(self, code: str | None) -> Plan | None:
        """Return the plan with this code, as metadata names it."""
        return None if code is None else self._by_code.get(code)

    def plan_by_names(self, refs: Iterable[str | None]) -> Plan | None:
        """Return the plan of one sold item, by the first of its names that is known.

        The caller orders the names by trust: price id, lookup key, product id. A name that grants
        nothing on purpose ends the search.
        """
        known = self.first_known(refs)
        return None if known is None else self._by_ref.get(known)

    def first_known(self, refs: Iterable[str | None]) -> str | None:
        """Return the first name that stands for a plan or, on purpose, for nothing."""
        known = (ref for ref in refs if ref in self._by_ref or ref in self.nothing)
        return next(known, None)


def read_catalogue(document: Mapping[str, Any]) -> Catalogue:
    """Return the catalogue of a parsed ``plans.toml``.

    Raises:
        InvalidCatalogue: the document has mistakes; the error lists all of them.
    """
    reading = _CatalogueReader()
    reading.refuse_unknown("", document, _DOCUMENT_KEYS)
    tables = reading.table("plans", document.get("plans", {}))
    plans = [reading.plan(code, table) for code, table in sorted(tables.items())]
    policy = reading.policy(document.get("policy", {}))
    nothing, price_keys = reading.sold(document.get("catalogue", {}))
    identity = reading.identity(document.get("identity", {}))
    reading.problems.extend(_contradictions(plans, nothing))
    if reading.problems:
        raise InvalidCatalogue(tuple(dict.fromkeys(reading.problems)))
    return Catalogue(
        plans=tuple(plans),
        policy=policy,
        nothing=nothing,
        identity=identity,
        price_keys=price_keys,
    )


def write_catalogue(catalogue: Catalogue) -> dict[str, Any]:
    """Return the canonical document of a catalogue; ``read_catalogue`` reads it back."""
    return {
        "plans": {plan.code: _plan_document(plan) for plan in catalogue.plans},
        "policy": {way.name: getattr(catalogue.policy, way.name).value for way in fields(Policy)},
        "catalogue": {
            "nothing": sorted(catalogue.nothing),
            "price_keys": dict(sorted(catalogue.price_keys.items())),
        },
        "identity": {
            "user_from": list(catalogue.identity.user_from),
            "metadata_keys": list(catalogue.identity.metadata_keys),
        },
    }


def _outline(catalogue: Catalogue) -> frozenset[tuple[PlanCode, frozenset[str]]]:
    """Return the identifiers of each plan."""
    refs: dict[PlanCode, set[str]] = {plan.code: set() for plan in catalogue.plans}
    for ref, plan in catalogue._by_ref.items():  # noqa: SLF001 - of the class of this module
        refs[plan.code].add(ref)
    return frozenset((code, frozenset(names)) for code, names in refs.items())


def _plan_document(plan: Plan) -> dict[str, Any]:
    document = {
        "prices": list(plan.prices),
        "grace_days": plan.grace_days,
        "features": dict(sorted(plan.features.items())),
        "per_seat": sorted(plan.per_seat),
    }
    if plan.lasts_days is not None:
        document["lasts_days"] = plan.lasts_days
    return document


class _CatalogueReader:
    """Collects every problem while it reads, so that one run reports them all."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def problem(self, place: str, sentence: str) -> None:
        self.problems.append(f"{place}: {sentence}")

    def refuse_unknown(self, place: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
        for key in table:
            if key not in known:
                where = f"{place}.{key}" if place else key
                self.problem(where, f"is unknown; there are {', '.join(known)}")

    def table(self, place: str, value: Any) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            return value
        self.problem(place, f"must be a table, not {_shown(value)}")
        return {}

    def plan(self, code: str, value: Any) -> Plan:
        place = f"plans.{code}"
        if not _NAME.fullmatch(code):
            self.problem(place, "a plan's code is 1 to 100 ASCII characters without spaces")
        table = self.table(place, value)
        self.refuse_unknown(place, table, _PLAN_KEYS)
        return Plan(
            code=PlanCode(code),
            prices=self.names(f"{place}.prices", table.get("prices", []), _is_ref),
            grace_days=self.days(f"{place}.grace_days", table.get("grace_days", 0)),
            features=self.features(f"{place}.features", table.get("features", {})),
            per_seat=frozenset(
                self.names(f"{place}.per_seat", table.get("per_seat", []), _is_name)
            ),
            lasts_days=self.days(f"{place}.lasts_days", table["lasts_days"], 1, MAX_LASTS_DAYS)
            if "lasts_days" in table
            else None,
        )

    def sold(self, value: Any) -> tuple[frozenset[str], Mapping[str, str]]:
        """Return the prices that grant nothing, and the lookup keys of prices."""
        table = self.table("catalogue", value)
        self.refuse_unknown("catalogue", table, _CATALOGUE_KEYS)
        keys = self.table("catalogue.price_keys", table.get("price_keys", {}))
        for price, key in keys.items():
            if not (_is_ref(price) and _is_ref(key)):
                self.problem("catalogue.price_keys", f"{price}: {_shown(key)} is no lookup key")
        nothing = frozenset(self.names("catalogue.nothing", table.get("nothing", []), _is_ref))
        return nothing, MappingProxyType(dict(keys))

    def identity(self, value: Any) -> Identity:
        table = self.table("identity", value)
        self.refuse_unknown("identity", table, _IDENTITY_KEYS)
        usual = Identity()
        words = self.some_names("identity.user_from", table, usual.user_from, _is_name)
        for word in words:
            if word not in usual.user_from:
                known = " or ".join(usual.user_from)
                self.problem("identity.user_from", f"{word} is unknown; there is {known}")
        keys = self.some_names("identity.metadata_keys", table, usual.metadata_keys, _is_ref)
        return Identity(user_from=words, metadata_keys=keys)

    def some_names(
        self,
        place: str,
        table: Mapping[str, Any],
        usual: tuple[str, ...],
        accepts: Callable[[Any], bool],
    ) -> tuple[str, ...]:
        value = table.get(place.rpartition(".")[2], usual)
        names = self.names(place, value, accepts)
        if isinstance(value, list | tuple) and not value:
            self.problem(place, "must not be empty")
        return names

    def names(self, place: str, value: Any, accepts: Callable[[Any], bool]) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            self.problem(place, f"must be a list of names, not {_shown(value)}")
            return ()
        for name in value:
            if not accepts(name):
                self.problem(place, f"{_shown(name)} is not a usable name")
            elif value.count(name) > 1:
                self.problem(place, f"{name} is listed twice")
        return tuple(dict.fromkeys(name for name in value if accepts(name)))

    def days(self, place: str, value: Any, least: int = 0, most: int = MAX_GRACE_DAYS) -> int:
        if type(value) is int and least <= value <= most:
            return value
        self.problem(place, f"must be a whole number from {least} to {most}")
        return least

    def features(self, place: str, value: Any) -> Mapping[str, FeatureValue]:
        table = self.table(place, value)
        for name, worth in table.items():
            for sentence in _wrong_with_feature(name, worth):
                self.problem(f"{place}.{name}", sentence)
        usable = {n: w for n, w in table.items() if not any(_wrong_with_feature(n, w))}
        return MappingProxyType(usable)

    def policy(self, value: Any) -> Policy:
        table = self.table("policy", value)
        ways = tuple(way.name for way in fields(Policy))
        self.refuse_unknown("policy", table, ways)
        stated = {
            way: self.disposition(f"policy.{way}", table[way]) for way in ways if way in table
        }
        return Policy(**stated)

    def disposition(self, place: str, value: Any) -> PolicyAction:
        if value in ("keep", "end"):
            return PolicyAction(value)
        self.problem(place, f'must be "keep" or "end", not {_shown(value)}')
        return PolicyAction.KEEP


def _wrong_with_feature(name: Any, worth: Any) -> Iterator[str]:
    if not _is_name(name):
        yield "a feature's name is 1 to 100 ASCII characters without spaces"
    if type(worth) is int and worth < 0:
        yield "must not be negative: of several grants the larger number wins"
    elif type(worth) is int and worth > MAX_NUMBER:
        yield f"must not be more than {MAX_NUMBER}"
    elif type(worth) not in (int, bool):
        yield f"must be true, false or a whole number, not {_shown(worth)}"


def _contradictions(plans: Iterable[Plan], nothing: frozenset[str]) -> Iterator[str]:
    plans = tuple(plans)
    yield from _prices_in_two_plans(plans)
    yield from _prices_that_grant_nothing(plans, nothing)
    yield from _features_of_two_types(plans)
    yield from _seats_of_switches(plans)


def _prices_in_two_plans(plans: Iterable[Plan]) -> Iterator[str]:
    owners: dict[str, PlanCode] = {}
    for plan in plans:
        for ref in plan.prices:
            owner = owners.setdefault(ref, plan.code)
            if owner != plan.code:
                yield f"plans.{plan.code}.prices: {ref} belongs to plan {owner} already"


def _features_of_two_types(plans: Iterable[Plan]) -> Iterator[str]:
    first: dict[str, tuple[PlanCode, type]] = {}
    for plan in plans:
        for name, worth in plan.features.items():
            code, kind = first.setdefault(name, (plan.code, type(worth)))
            if kind is not type(worth):
                yield (
                    f"plans.{plan.code}.features.{name}: is {_kind_word(type(worth))} here"
                    f" and {_kind_word(kind)} in plan {code}"
                )


def _prices_that_grant_nothing(plans: Iterable[Plan], nothing: frozenset[str]) -> Iterator[str]:
    for plan in plans:
        for ref in plan.prices:
            if ref in nothing:
                yield f"plans.{plan.code}.prices: {ref} grants nothing by catalogue.nothing"


def _seats_of_switches(plans: tuple[Plan, ...]) -> Iterator[str]:
    """Yield the per-seat features that a plan makes true or false: a seat cannot multiply those."""
    switches = {n for plan in plans for n, worth in plan.features.items() if type(worth) is bool}
    for plan in plans:
        for name in sorted(plan.per_seat & switches):
            yield f"plans.{plan.code}.per_seat: {name} is true or false in a plan, and no number"


def _kind_word(kind: type) -> str:
    return "true or false" if kind is bool else "a number"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_ref(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_REF and value.isprintable()


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return f"{value!r:.60}" if isinstance(value, str) else f"{value!s:.60}"
