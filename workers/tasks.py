"""The Celery tasks are wake-ups. What there is to do stands in the inbox, not in the message."""

from collections.abc import Callable

from celery import Celery

from runtime.broker import DRAIN_TASK


def register(celery: Celery, drain: Callable[[str], None], *, task: str = DRAIN_TASK) -> None:
    """Teach a Celery application to drain; ``drain`` is called in a pool child with the wake-up.

    A message that is lost or doubled costs nothing, so none is ever retried.
    """

    @celery.task(name=task, ignore_result=True)
    def drain_inbox(token: str) -> None:
        drain(token)
