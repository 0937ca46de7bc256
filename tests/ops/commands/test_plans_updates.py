"""``paidup plans apply`` where a customer has so many old payments that they follow in steps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from ops.demo.plans import PLANS
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.moves_in_steps import end_move, every_past_is_long
from tests.runtime.ledger.test_archives import PAYMENTS, pay

pytestmark = pytest.mark.servers

DEVICES = "SELECT entitlements ->> 'max_devices', count(*) FROM user_entitlements GROUP BY 1"


def test_new_plans_reach_old_payments_in_steps_and_the_answer_says_so(
    books: SeededDatabase, paidup: Paidup, deployed: Callable[..., None], tmp_path: Path
) -> None:
    plans = tmp_path / "plans.toml"
    plans.write_text(PLANS.read_text().replace("max_devices = 5", "max_devices = 7"))
    deployed(DATABASE_URL=books.url, PAIDUP_PLANS=str(plans))
    pay(ledger_on(books.engine), *range(PAYMENTS))

    with every_past_is_long():
        said = " ".join(paidup("plans", "apply", str(plans), "--reason", "tests").split())
    again = json.loads(paidup("plans", "apply", "--resume", "--json"))
    differs = " ".join(paidup("plans", "diff", str(plans)).split())
    counted = json.loads(paidup("plans", "diff", str(plans), "--json"))["updating_parties"]
    (update,) = json.loads(paidup("explain", "usr_1", "--json"))["pending_updates"]
    end_move(books.engine)

    assert "old payments of 1 party follow in steps, by a worker: `paidup status`" in said
    assert (again["outdated_parties"], again["updating_parties"]) == (0, 1)
    assert "old payments of 1 party follow an earlier change in steps" in differs
    assert counted == 1
    assert update["event_id"] is None
    assert update["actor"].startswith("cli:")
    with books.engine.connect() as connection:
        assert connection.execute(text(DEVICES)).all() == [("7", PAYMENTS)]
