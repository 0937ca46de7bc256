"""One run of one account and mode, from its beginning to its report.

A run that a person, Stripe or a crash cut short stays open, and the same command goes on with it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine

from ops import connections
from ops.backfill.held_objects import forget_ended
from ops.backfill.reading import AccountReading
from ops.backfill.render import report_document
from ops.backfill.report import ENDED, BackfillReport
from ops.backfill.sampling import SampledPlan, plan_by_samples
from ops.backfill.scope import BackfillScope
from ops.backfill.stored_report import PLANNED, OpenedRun, load_report, opened_run
from ops.backfill.taker import PageTaker
from ops.backfill.user_links import UserLinks
from ops.backfill.users_file import MappedUser
from ops.bulk_audit import BulkAudit
from ops.stripe_runs.asking import PatientApi
from ops.stripe_runs.runs import OpenRun, RunRequest, begin
from ops.stripe_runs.same_account import prove_account
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.progress import ReportProgress, progress
from runtime.ledger.observe import ObserveCause
from runtime.ledger.record import Ledger
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import StripeApi

_REQUESTED_ACTION: Final = "backfill.requested"
_ENDED_ACTION: Final = "backfill.ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRun:
    """The backfill of one account and mode; ``rate`` is in requests a second."""

    engine: Engine
    ledger: Ledger
    account: ApiAccount
    make_api: Callable[[], StripeApi]
    interruption: Interruption
    users: Sequence[MappedUser]
    since: datetime | None
    rate: float
    actor: str
    reason: str
    limit: int

    def plan(self) -> SampledPlan | OpenedRun:
        """Return what there is to read and what the key may not read, or the run that goes on.

        Raises:
            ApiFailure: Stripe does not answer, or refuses the key as a whole.
            Interrupted: a person stopped it.
            OtherAccount: the key is not that of the account whose events are here.
        """
        prove_account(self.engine, self._patient_api())
        with connections.read_snapshot(self.engine) as connection:
            opened = opened_run(connection, self.account.realm, self._said())
        if opened is not None:
            return opened
        return plan_by_samples(self._patient_api(), rate=self.rate, now=datetime.now(UTC))

    def run(self, planned: SampledPlan | OpenedRun) -> BackfillReport:
        """Read everything, or what is left of it, and return the report.

        Raises:
            ApiFailure: Stripe does not answer, or refuses the key; the same command goes on.
            CommandFailed: another process works on the same run, or it was cancelled.
        """
        run = begin(self.engine, self._wanted())
        with self.engine.begin() as connection:
            forget_ended(connection)
        if isinstance(planned, SampledPlan):
            run.counts[PLANNED] = planned.plan.objects
            self._audit(_REQUESTED_ACTION, "done", self._said())
        with progress(f"reading {self.account.realm}", run.counts[PLANNED]) as report:
            reading = self._reading(run, report, planned)
            try:
                with suppress(Interrupted):
                    reading.read()
                return self._end(run, reading)
            except BaseException:
                run.release(self.engine)
                raise

    def _end(self, run: OpenRun, reading: AccountReading) -> BackfillReport:
        """End the run unless a part of it is still to be read, and return its report."""
        state = "failed" if reading.forbidden else "done"
        if self.interruption.asked:
            state = "interrupted"
        elif reading.unanswered:
            state = "unfinished"
        run.requests += reading.sent
        with self.engine.begin() as connection:
            run.beat(connection)
        with connections.read_snapshot(self.engine) as connection:
            report = load_report(connection, self.account.realm, run.id, limit=self.limit)
        report.state = state
        report.unreadable = {**reading.forbidden, **reading.unanswered}
        report.links_made, report.links_earlier = reading.linked.made, reading.linked.earlier
        report.unlinked = reading.linked.unknown
        if state in ENDED:
            self._close(run, report)
        else:
            run.release(self.engine)
        return report

    def _close(self, run: OpenRun, report: BackfillReport) -> None:
        why = "; ".join(report.unreadable.values()) or None
        with self.engine.begin() as connection:
            run.end(connection, "done" if report.whole else "failed", why, report_document(report))
        self._audit(_ENDED_ACTION, "done" if report.whole else "failed", {"stored": report.stored})

    def _reading(
        self, run: OpenRun, report: ReportProgress, planned: SampledPlan | OpenedRun
    ) -> AccountReading:
        realm = self.account.realm
        cause = ObserveCause(actor=self.actor, origin="backfill", reason=self.reason)
        scope = None
        if self.since is not None:
            scope = BackfillScope(since=self.since, began_at=run.started_at)
        taker = PageTaker(
            engine=self.engine,
            ledger=self.ledger,
            run=run,
            realm=realm,
            cause=cause,
            api=self._patient_api(),
            scope=scope,
        )
        links = UserLinks(
            engine=self.engine,
            ledger=self.ledger,
            realm=realm,
            actor=self.actor,
            reason=self.reason,
        )
        return AccountReading(
            engine=self.engine,
            taker=taker,
            links=links,
            users=self.users,
            make_api=self.make_api,
            is_stopping=lambda: self.interruption.asked,
            pause=self.interruption.pause,
            report=report,
            already=planned.read if isinstance(planned, OpenedRun) else 0,
        )

    def _patient_api(self) -> PatientApi:
        return PatientApi(self.make_api(), self.account, self.interruption.pause)

    def _wanted(self) -> RunRequest:
        return RunRequest(
            kind="backfill",
            realm=self.account.realm,
            actor=self.actor,
            reason=self.reason,
            said=self._said(),
            rate=self.rate,
        )

    def _said(self) -> Mapping[str, Any]:
        return {"since": self.since and self.since.isoformat()}

    def _audit(self, action: str, outcome: str, after: Any) -> None:
        audit = BulkAudit(
            engine=self.engine,
            actor=self.actor,
            reason=self.reason,
            targets=[("realm", self.account.realm)],
        )
        audit.record(action, outcome, after)
