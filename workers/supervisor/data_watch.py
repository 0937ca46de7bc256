"""Notice that PostgreSQL or Redis went back in time, report the loss, and take back what Redis has.

It runs in a thread of its own: a slow or frozen database must not hold up the sweeper.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog

from runtime.broker import Publish
from runtime.data_loss.check import Checked
from runtime.data_loss.settlements import LostInDatabase, ReadOnlyDatabase
from runtime.failures.classify import Unexpected, classify
from runtime.inbox.entries import LostAccepts
from runtime.telemetry import Metrics

log = structlog.get_logger(__name__)

IDS_IN_A_LINE: Final = 100

DATABASE_WENT_BACK: Final = "the database went back in time: settled events are lost"
REDIS_WENT_BACK: Final = "Redis went back in time: accepted events are lost"


class DataWatch:
    """A periodic job of the supervisor that leads."""

    def __init__(
        self,
        check: Callable[[], Checked],
        *,
        leads: Callable[[], bool],
        publish: Publish,
        unregister: Callable[[str], None],
        drop_connections: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        """Take what a check needs; ``drop_connections`` lets the next one find another primary."""
        self._check = check
        self._leads = leads
        self._publish = publish
        self._unregister = unregister
        self._drop_connections = drop_connections
        self._metrics = metrics
        self._failing = False

    def run_if_leading(self) -> None:
        """Check once; an error is logged once, and the next run checks all of it again."""
        if not self._leads():
            return
        try:
            checked = self._check()
            self._report(checked)
            self._wake(checked.wakes)
        except Exception as error:  # noqa: BLE001 - no error here may stop the worker
            self._report_failure(error)
            self._drop_connections()
            return
        if self._failing:
            log.info("lost data is looked for again")
        self._failing = False

    def _report(self, checked: Checked) -> None:
        # Also what an earlier check stored and did not tell, because it broke off after that.
        if checked.lost is not None:
            self._metrics.settlements_lost.inc(len(checked.lost.settlements))
            report_lost_settlements(checked.lost, requeued=checked.requeued)
        for loss in checked.lost_accepts:
            self._metrics.inbox_went_back.inc()
            report_lost_accepts(loss)

    def _wake(self, wakes: Sequence[str]) -> None:
        for token in wakes:
            if not self._publish(token):
                self._unregister(token)

    def _report_failure(self, error: Exception) -> None:
        failure = classify(error)
        unexpected = isinstance(failure, Unexpected) and not isinstance(error, ReadOnlyDatabase)
        if not self._failing:
            log.warning(
                "lost data cannot be looked for",
                error_type=failure.error_type,
                reason=failure.reason,
                exc_info=error if unexpected else None,
            )
        self._failing = True


def report_lost_settlements(lost: LostInDatabase, *, requeued: int) -> None:
    """Log every lost settlement by its event id."""
    for event_ids in _portions([each.event_id for each in lost.settlements]):
        log.critical(
            DATABASE_WENT_BACK,
            event_ids=event_ids,
            lost=len(lost.settlements),
            in_the_inbox_again=requeued,
            all_are_known=lost.complete,
            kept_until=lost.kept_until,
            do="see `paidup doctor` for those that are not back",
        )


def report_lost_accepts(loss: LostAccepts) -> None:
    """Log which accepts are lost."""
    log.critical(
        REDIS_WENT_BACK,
        first_accept=loss.first or None,
        last_accept=loss.last,
        inbox_epoch=loss.inbox_epoch,
        do="send the events of that time again from Stripe: see docs/operations.md",
    )


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), IDS_IN_A_LINE):
        yield ids[start : start + IDS_IN_A_LINE]
