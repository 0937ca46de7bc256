"""Ask Stripe for samples of its lists, from which the plan estimates how much there is to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.backfill.features import NAME
from ops.backfill.plan import BackfillPlan, ListPlan, ListSample, next_sample
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.lists import OBJECT_LISTS, SUBSCRIPTIONS, Span, StripeList, page_request
from ops.stripe_runs.pages import created_in, read_page
from runtime.stripe_api.errors import ApiForbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledPlan:
    """The plan, and the reason for each list that the key may not read."""

    plan: BackfillPlan
    unreadable: dict[str, str]


def plan_by_samples(api: PatientApi, *, rate: float, now: datetime) -> SampledPlan:
    """Return the plan of an account.

    Raises:
        ApiFailure: Stripe does not answer, or refuses the key as a whole.
    """
    lists: list[ListPlan] = []
    unreadable: dict[str, str] = {}
    for wanted in OBJECT_LISTS:
        try:
            lists.append(ListPlan.of(wanted.name, _samples(api, wanted, now)))
        except ApiForbidden as error:
            refuse_wrong_key(error)
            unreadable[wanted.name] = str(error)
    try:
        lists += _features(api, lists)
    except ApiForbidden as error:
        refuse_wrong_key(error)
        unreadable[NAME] = str(error)
    return SampledPlan(plan=BackfillPlan(lists=lists, rate=rate), unreadable=unreadable)


def refuse_wrong_key(error: ApiForbidden) -> None:
    """Raise the error again unless it is about one right: then other lists may be readable."""
    if not error.rights:
        raise error


def _samples(api: PatientApi, wanted: StripeList, now: datetime) -> Sequence[ListSample]:
    samples: list[ListSample] = []
    while (at := next_sample(samples, now)) is not None:
        samples = sorted(
            [*samples, _sample(api, wanted, at)], key=lambda each: each.at, reverse=True
        )
    return samples


def _sample(api: PatientApi, wanted: StripeList, at: datetime) -> ListSample:
    answer = api.ask(page_request(wanted, Span(newest=int(at.timestamp()))))
    page = read_page(wanted, 0, answer)
    times = [datetime.fromtimestamp(second, UTC) for second in created_in(page.objects)]
    return ListSample(
        at=at,
        objects=len(times),
        newest=max(times, default=None),
        oldest=min(times, default=None),
        more=page.has_more,
    )


def _features(api: PatientApi, lists: Sequence[ListPlan]) -> list[ListPlan]:
    """Return the plan of the features: one request for each subscription at most."""
    if not api.has_features():
        return []
    most = sum(each.objects for each in lists if each.name == SUBSCRIPTIONS.name)
    return [ListPlan(name=NAME, objects=most, exact=False, requests=most)]
