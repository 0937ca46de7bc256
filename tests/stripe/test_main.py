"""The fake Stripe runs as a process of its own, which says where it is and ends by a signal."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.stripe.company import CompanyPlan, build_company
from tests.stripe.gaps import plant_gaps

pytestmark = pytest.mark.servers

NOW = 1_795_302_000


@contextmanager
def running(*arguments: str) -> Iterator[dict[str, Any]]:
    """Run the module, yield what it states, and end it by SIGTERM."""
    command = [sys.executable, "-m", "tests.stripe", "--now", str(NOW), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(30)
    assert ended == 0


def asked(stated: dict[str, Any], path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {stated['key']}"}
    request = urllib.request.Request(stated["url"] + path, headers=headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def test_a_process_serves_the_company_that_its_arguments_name() -> None:
    arguments = ("--subscribers", "30", "--months", "2", "--seed", "7", "--gaps", "3")

    with running(*arguments, "--events", "5000", "--limits") as stated:
        customers = asked(stated, "/v1/customers?limit=100")["data"]
        newest = asked(stated, "/v1/events?limit=1&type=customer.updated")["data"]

    company = build_company(CompanyPlan(subscribers=30, months=2, now=NOW, seed="7"))
    gaps = plant_gaps(company, 3)
    assert stated["url"].startswith("http://127.0.0.1:")
    assert stated["webhook_secret"].startswith("whsec_")
    assert stated["gaps"] == [json.loads(json.dumps(gap.stated())) for gap in gaps]
    _, here = company.stripe.answer("/v1/customers?limit=100")
    assert customers == here["data"]
    assert newest[0]["id"].endswith("4999")
