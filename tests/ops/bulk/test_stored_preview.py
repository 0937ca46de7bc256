"""Previews that are kept: what they show and name, party by party, and how they end early."""

from typing import Any

import pytest
import sqlalchemy as sa

from billing.envelope import parse
from billing.ids import PartyId
from models.tables import BulkUser
from ops.bulk import control
from ops.bulk.preview import ReplayPreviewer
from ops.bulk.stored_preview import LiveFirst, StoredPreview
from ops.samples.scenario import Event
from runtime.ledger.locks import lock
from runtime.settings import Settings
from tests.ops.bulk.plan_builders import (
    discard_planned,
    items_now,
    plan_now,
    planned,
    previewed,
)
from tests.ops.ops_env import OpsEnv, yesterday
from tests.runtime.ledger.delivery_builders import contents

pytestmark = pytest.mark.servers
PLANS = ["bulk_plans", "bulk_items", "bulk_users", "bulk_differences"]


def named(floor: OpsEnv) -> dict[str, str]:
    with floor.engine.connect() as connection:
        rows = connection.execute(sa.select(BulkUser.user_id, BulkUser.named_by))
        return {user: by for user, by in rows}  # noqa: C416 - rows


def stories(floor: OpsEnv, *names: str) -> list[Event]:
    composed = [floor.books.compose(name, seed=name, user=f"usr_{name}") for name in names]
    return [event for story in composed for event in story.events]


def test_it_keeps_what_the_dry_run_of_the_command_shows_and_changes_nothing(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(*stories(floor, "onetime", "renewal", "refund_partial"))
    before = contents(floor.engine, without=[*PLANS, "audit_logs"])
    plan = planned(floor)
    previewer = ReplayPreviewer(Settings.from_env({}), floor.engine)
    previewer.run(items_now(floor, plan), lambda _: None)

    seen = previewed(floor, plan)

    ended = plan_now(floor, plan.id)
    assert (ended.state, ended.previewed, ended.owner) == ("previewed", plan.items, None)
    assert ended.preview_counts == {
        str(status): number for status, number in previewer.preview.results.counts.items()
    }
    shown = [str(each.user_id) for each in seen if each.kind == "entitlement"]
    pairs = previewer.preview.entitlements.pairs()
    assert sorted(shown) == sorted(row.user_id for _, row in pairs if row)
    users = ("usr_onetime", "usr_renewal", "usr_refund_partial")
    assert named(floor) == dict.fromkeys(users, "preview")
    assert contents(floor.engine, without=[*PLANS, "audit_logs"]) == before


def test_events_that_had_stated_nothing_are_shown_with_all_of_their_party(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.bulk.party_groups.MOST_AT_ONCE", 2)
    monkeypatch.setattr("ops.bulk.preview.FEWEST_AT_ONCE", 2)
    first = floor.books.compose("renewal", seed="a").events
    second = floor.books.compose("renewal", seed="b", user="usr_2").events
    with yesterday(monkeypatch, unreadable=False):
        floor.take_in(*(event for pair in zip(first, second, strict=True) for event in pair))
    plan = planned(floor)
    previewer = ReplayPreviewer(Settings.from_env({}), floor.engine)
    previewer.run(items_now(floor, plan), lambda _: None)

    previewed(floor, plan)

    rows = floor.scalars("SELECT after FROM bulk_differences WHERE kind = 'entitlement'")
    whole = [after for _, after in previewer.preview.entitlements.pairs() if after]
    assert sorted((row["user_id"], row["expires_at"]) for row in rows) == sorted(
        (row.user_id, row.expires_at and row.expires_at.isoformat()) for row in whole
    )
    assert plan_now(floor, plan.id).preview_counts == {
        str(status): number for status, number in previewer.preview.results.counts.items()
    }


def test_a_discard_is_previewed_at_once_and_names_nobody(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(*stories(floor, "onetime"))
    plan = discard_planned(floor)

    assert previewed(floor, plan) == []
    assert plan_now(floor, plan.id).state == "previewed"
    assert named(floor) == {}


def test_it_ends_at_the_next_step_once_it_is_stopped_and_forgets_what_it_showed(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(*stories(floor, *(["onetime", "renewal"])))
    monkeypatch.setattr("ops.bulk.preview.BATCH_SIZE", 1)
    plan = planned(floor)
    control.start_preview(floor.engine, plan.id)
    stored = StoredPreview(settings=Settings.from_env({}), engine=floor.engine, inbox=None)
    steps = stored.stream(plan.id)
    assert next(steps)

    control.stop_preview(floor.engine, plan.id)

    assert list(steps) == []
    assert floor.scalars("SELECT count(*) FROM bulk_differences") == [0]
    assert (plan_now(floor, plan.id).state, named(floor)) == ("planned", {})


def test_a_party_that_another_transaction_holds_is_previewed_later_or_said_to_be_locked(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = floor.books.compose("onetime", seed="held", user="usr_held").events
    floor.take_in(*held)
    free = floor.books.compose("onetime", seed="free", user="usr_free").events
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(*free)
    plan = planned(floor)
    with floor.engine.begin() as connection:
        parties = connection.scalars(sa.text("SELECT party FROM parties")).all()
        lock(connection, map(PartyId, parties), above=())

        seen = previewed(floor, plan)

    assert {each.user_id for each in seen} == {"usr_free"}
    counts = plan_now(floor, plan.id).preview_counts
    assert counts == {"applied": len(free), "locked": len(held)}


def test_it_rests_only_while_live_events_arrive_or_wait(floor: OpsEnv) -> None:
    rested: list[float] = []
    live = LiveFirst(inbox=floor.inbox, pause=rested.append)
    live.rest(0.1)
    assert rested == []

    (event, *_) = floor.books.compose("onetime").events
    floor.inbox.accept(parse(event.body))
    live.rest(0.1)
    floor.work()
    live.rest(0.1)

    assert len(rested) == 1
    silent: Any = LiveFirst(inbox=None, pause=rested.append)
    silent.rest(0.1)
    assert len(rested) == 1
