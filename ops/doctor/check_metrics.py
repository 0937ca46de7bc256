"""Check whether this machine's processes can keep metrics; without room they go on uncounted."""

from collections.abc import Iterator

from ops.doctor.findings import Finding, ok, warning
from runtime.metrics_room import folders_without_room
from runtime.settings import Settings

_CHECK = "metrics folder"


def check_metrics(settings: Settings) -> Iterator[Finding]:
    """Name each folder that has no room."""
    without = folders_without_room(settings.data_dir)
    for folder, reason in without.items():
        todo = "make room, then restart ingest, console and worker to count again"
        yield warning(_CHECK, f"{folder} {reason}, events are applied and not counted: {todo}")
    if not without:
        yield ok(_CHECK, "has room")
