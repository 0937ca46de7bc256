"""Operations after which every statement of people must still stand."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from sqlalchemy import text

from billing.ids import PartyId
from ops.samples.worlds.world import World
from runtime.database.engine import engine_for
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.outdated import OutdatedFacts
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.prepare import Scope
from tests.system.stack_env import StackUnderTest

MINUTE = 60


def replay_events(system: StackUnderTest, world: World) -> None:
    """Replay every event of a world, as ``paidup replay`` does."""
    ids = [event.id for event in world.events]
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "replay", *ids, "--reason", "worlds", "--yes", "--json"],
        env=_environ(system),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3 * MINUTE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert sum(json.loads(done.stdout)["counts"].values()) == len(ids)


def _environ(system: StackUnderTest) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PAIDUP_", "STRIPE_"))}
    return {**kept, **system.stack.environ}


def outdate(system: StackUnderTest, parties: Sequence[PartyId]) -> None:
    """Make the facts of these parties those of an earlier release's readers."""
    owner = engine_for(system.stack.owner_database_url, application_name="tests")
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE parties SET reader = 1 WHERE party = ANY(:parties)"),
            {"parties": list(parties)},
        )
    owner.dispose()


def read_again(
    system: StackUnderTest, parties: Sequence[PartyId], accounts: frozenset[str]
) -> None:
    """Read the events of those of these parties whose facts are outdated."""
    scope = Scope(livemode="any", accounts=accounts)
    OutdatedFacts(engine=system.engine, scope=scope).read_parties(parties)


def rebuild(system: StackUnderTest, parties: Sequence[PartyId], accounts: frozenset[str]) -> None:
    """Rebuild these parties from the stored bodies, and keep the result."""
    Rebuilder(
        engine=system.engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=accounts),
        actor="worlds",
        reason="a rebuild",
        dry_run=False,
    ).from_events(parties)


def without_basic(world: World) -> World:
    """Return a world without the plan that people give most often, which it had before."""
    document = deepcopy(dict(world.document))
    document["plans"].pop("basic")
    return replace(world, document=document, former=(world.document, *world.former))
