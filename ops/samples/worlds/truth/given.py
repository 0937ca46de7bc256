"""Grants of people: no word of Stripe begins or ends one."""

from collections.abc import Iterable, Iterator

from ops.samples.worlds.account import PersonGrant
from ops.samples.worlds.truth.evidence import Evidence
from ops.samples.worlds.truth.shop import TrueGrant

NO_PLAN = "grant"
"""The plan under which features without a plan are shown."""


def given_grants(evidence: Evidence, given: Iterable[PersonGrant]) -> Iterator[TrueGrant]:
    """Yield the grants of people that are in force."""
    for each in given:
        ends_at = _ends_at(each)
        # What a person has ended is over, also where a test clock has not come to that moment.
        if each.ended_at is not None or (ends_at is not None and ends_at <= evidence.now):
            by_person = each.ended_at == ends_at
            evidence.use("grant-ended-by-person" if by_person else "grant-ends-by-itself")
        elif each.starts_at > evidence.now:
            evidence.use("grant-begins-later")
        else:
            evidence.use("operator-grant")
            if each.everywhere:
                evidence.use("grant-counts-in-every-realm")
            yield _true_grant(evidence, each, ends_at)


def _ends_at(grant: PersonGrant) -> float | None:
    return min((end for end in (grant.until, grant.ended_at) if end is not None), default=None)


def _true_grant(evidence: Evidence, grant: PersonGrant, ends_at: float | None) -> TrueGrant:
    features, per_seat = dict(grant.features), frozenset(grant.per_seat)
    if grant.plan is None:
        evidence.use("grant-of-features")
    elif plan := evidence.shop.plan_of_code(grant.plan):
        evidence.use("grant-follows-plan")
        features, per_seat = evidence.shop.features(plan, 1), evidence.shop.per_seat(plan)
    else:
        evidence.use("grant-of-lost-plan")
    return TrueGrant(
        user=grant.user,
        source=grant.id,
        plan=grant.plan or NO_PLAN,
        features=features,
        per_seat=per_seat,
        expires_at=None if ends_at is None else int(ends_at),
    )
