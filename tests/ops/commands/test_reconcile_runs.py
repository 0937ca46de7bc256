"""Runs of reconciliations as commands show and keep them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ops.conftest import Paidup
from tests.ops.reconcile.company_side import CompanySides, company_sides

pytestmark = pytest.mark.servers


@pytest.fixture
def both(database: str, redis_url: str, deployed: Callable[..., None]) -> Iterator[CompanySides]:
    """Two sides that agree on three subscriptions."""
    deployed(DATABASE_URL=database, REDIS_URL=redis_url)
    with company_sides(database, redis_url, subscribers=3, months=2) as both:
        both.deliver()
        yield both


def _gap(both: CompanySides) -> str:
    subscription = str(both.stripe.all("/v1/subscriptions?status=all")[0]["id"])
    both.stripe.changes[subscription] = lambda raw: raw.update(cancel_at_period_end=True)
    return subscription


def test_without_a_run_the_next_step_is_named(
    deployed: Callable[..., None], database: str, paidup: Paidup
) -> None:
    deployed(DATABASE_URL=database)

    assert "nothing was compared with Stripe yet" in paidup("reconcile", "list")
    paidup("reconcile", "show", code=1)
    assert "no comparison of objects has ended" in paidup.err


def test_the_newest_statement_is_shown_with_what_differs(
    both: CompanySides, paidup: Paidup
) -> None:
    both.compare()
    assert "agree on 3 subscriptions" in paidup("reconcile", "show")
    subscription = _gap(both)
    both.compare()

    shown = paidup("reconcile", "show", code=1)

    assert "1 differ, because 1 stale here." in shown
    assert f"stale here  stands  {subscription}" in shown
    assert "cancel at period end no here, yes at Stripe" in shown


def test_a_run_of_one_customer_is_not_the_newest_statement(
    both: CompanySides, paidup: Paidup
) -> None:
    both.compare()
    customer = both.stripe.all("/v1/customers")[0]["id"]
    both.compare(customer=customer)

    assert "agree on 3 subscriptions" in paidup("reconcile", "show")
    runs = json.loads(paidup("reconcile", "list", "--json"))["runs"]
    assert "agree on 1 subscription" in paidup("reconcile", "show", str(runs[0]["id"]))
    assert f"objects of customer {customer}" in paidup("reconcile", "list", "--limit", "1")


def test_runs_are_listed_newest_first_page_by_page(both: CompanySides, paidup: Paidup) -> None:
    both.compare()
    _gap(both)
    both.compare()

    first = json.loads(paidup("reconcile", "list", "--limit", "1", "--json"))
    second = json.loads(paidup("reconcile", "list", "--before", str(first["before"]), "--json"))

    assert [each["document"]["agrees"] for each in first["runs"] + second["runs"]] == [False, True]
    assert f"--before {first['before']}" in paidup("reconcile", "list", "--limit", "1")


def test_a_statement_is_kept_as_text_or_json_and_no_file_is_replaced(
    both: CompanySides, paidup: Paidup, tmp_path: Path
) -> None:
    subscription = _gap(both)
    both.compare()
    text, document = tmp_path / "agreement.txt", tmp_path / "agreement.json"

    assert paidup("reconcile", "show", "--output", str(text), code=1) == ""
    paidup("reconcile", "show", "--output", str(document), "--json", code=1)
    paidup("reconcile", "show", "--output", str(text), code=1)

    assert "exists already" in paidup.err
    assert subscription in text.read_text()
    kept = json.loads(document.read_text())
    assert kept["statement"]["agrees"] is False
    assert [each["name"] for each in kept["differences"]] == [subscription]
    assert (text.stat().st_mode & 0o777) == 0o600


def test_an_unknown_run_is_refused(
    deployed: Callable[..., None], database: str, paidup: Paidup
) -> None:
    deployed(DATABASE_URL=database)

    paidup("reconcile", "show", "77", code=1)

    assert "there is no run 77" in paidup.err
