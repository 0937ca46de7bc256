"""Check that the disks of this machine that are Paidup's own have room."""

from collections.abc import Iterator

from ops.doctor.findings import Finding, ok, problem, warning
from ops.terminal.disks import describe_disk
from runtime.disks import own_disks
from runtime.settings import Settings

_CHECK = "disk"


def check_disks(settings: Settings) -> Iterator[Finding]:
    """Report the room on each disk; nothing on a machine where no process of Paidup ran."""
    for disk in own_disks(settings.data_dir):
        report = problem if disk.is_full else warning if disk.is_low else ok
        yield report(_CHECK, describe_disk(disk))
