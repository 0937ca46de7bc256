"""Every document of a deployment with something to mend names calls as they can be typed."""

import json
import sys
from pathlib import Path

import pytest

from ops import cli
from tests.ops.ops_env import OpsEnv, yesterday
from tests.runtime.ledger.delivery_builders import delivery, event

pytestmark = pytest.mark.servers

WITH_HINTS = [
    ["doctor"],
    ["explain", "usr_1"],
    ["explain", "--event", "evt_sold"],
]
WITHOUT = [
    ["audit", "list"],
    ["changes"],
    ["dead", "list"],
    ["dead", "replay", "--all", "--dry-run"],
    ["events", "list"],
    ["events", "show", "evt_sold", "--payload"],
    ["plans", "diff"],
    ["rebuild", "--all", "--dry-run"],
    ["replay", "--all", "--dry-run"],
    ["status"],
]


@pytest.fixture
def called_in_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "paidup")])
    monkeypatch.setattr(cli, "_name_in_examples", lambda _: None)


def take_what_needs_mending(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settle a subscription that is in no plan, and let another event become a dead letter."""
    item = {"id": "si_1", "price": {"id": "price_in_no_plan"}}
    sold = {
        "id": "sub_1",
        "object": "subscription",
        "status": "active",
        "customer": "cus_1",
        "metadata": {"user_id": "usr_1", "note": "`paidup up`"},
        "items": {"data": [item]},
    }
    body = json.loads(event("customer.subscription.created", sold))
    floor.books.settle([delivery(json.dumps({**body, "id": "evt_sold"}).encode()).envelope])
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(floor.books.compose("first_paid").events[0])


@pytest.mark.usefixtures("called_in_a_checkout")
def test_no_document_names_a_call_that_cannot_be_typed(
    floor: OpsEnv,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    take_what_needs_mending(floor, monkeypatch)
    for arguments in (*WITH_HINTS, *WITHOUT):
        cli.run([*arguments, "--json"])

        said = capsys.readouterr().out
        ours = said.replace('"note": "`paidup up`"', "")
        assert json.loads(said)
        assert "`paidup " not in ours, arguments
        assert ("`bin/paidup " in ours) == (arguments in WITH_HINTS), arguments
        shows_words_of_stripe = "--payload" in arguments or "--event" in arguments
        assert shows_words_of_stripe == ("`paidup up`" in said), "bodies and facts stay exact"
