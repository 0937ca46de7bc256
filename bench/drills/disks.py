"""The drill about disks: the one that it fills is small and its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.drills.drill import Drill, DrillFailed
from bench.drills.extra_ingest import IngestOnSmallDisk, extra_ingest
from bench.drills.site import DrillSite
from tests.full_disk import fill, seen_by, why_no_full_disk


@contextmanager
def disk_full(site: DrillSite) -> Iterator[None]:
    """Run one more ingest with its files on a small disk, and fill that."""
    if why := why_no_full_disk():
        raise DrillFailed(f"{why}; run the drill as root on Linux")
    with extra_ingest(site, IngestOnSmallDisk) as ingest:
        filling = fill(seen_by(ingest.pid, ingest.data_dir))
        try:
            yield
        finally:
            filling.unlink()
            site.until_cleared(
                lambda: "PaidupDiskLow" not in site.prometheus.active(), "the disk has room"
            )


DISK_LOW = Drill(
    alert="PaidupDiskLow",
    does="starts one more ingest whose files lie on a small disk, fills that, and makes room",
    cause=disk_full,
    page="/",
)
