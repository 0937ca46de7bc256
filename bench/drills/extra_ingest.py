"""One more ingest beside the stack's, with settings or a disk of its own."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.drills.site import DrillSite
from ops.up.servers.parent_watch import ParentWatch
from ops.up.servers.ports import LOOPBACK, free_port
from ops.up.services import IngestService
from tests.full_disk import on_small_disk

DISK_SIZE: Final = "64m"
JOB: Final = "paidup-ingest"


class ExtraIngest(IngestService):
    """An ingest of the stack's Redis on an address of its own."""

    def __init__(self, data_dir: Path, environ: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self.url = f"http://{LOOPBACK}:{free_port()}"
        bound = {
            "PAIDUP_INGEST_BIND": self.url.removeprefix("http://"),
            "PAIDUP_INGEST_PROCESSES": "1",
            "PAIDUP_DATA_DIR": str(data_dir),
        }
        super().__init__(
            data_dir=data_dir, environ={**environ, **bound}, ready_url=f"{self.url}/readyz"
        )
        # Its own disk may hide the data folder, so these files lie beside it.
        self.pid_file = data_dir.with_suffix(".pid")
        self.log = data_dir.with_suffix(".log")


class IngestOnSmallDisk(ExtraIngest):
    """The same with its files on a small disk, which this process alone sees."""

    def command(self) -> Sequence[str | Path]:
        """Mount the disk, then run ingest."""
        return on_small_disk(self.data_dir, DISK_SIZE, [str(each) for each in super().command()])


@contextmanager
def extra_ingest(
    site: DrillSite, kind: type[ExtraIngest] = ExtraIngest, **environ: str
) -> Iterator[ExtraIngest]:
    """Run one more ingest, which Prometheus scrapes with the others; variables may differ."""
    with tempfile.TemporaryDirectory(prefix="paidup-drill-") as name:
        watch = ParentWatch(Path(name))
        data_dir = Path(name) / "ingest"
        data_dir.mkdir()
        ingest = kind(data_dir, {**site.environ(), **environ})
        try:
            ingest.start()
            with site.prometheus.scraping(JOB, ingest.url):
                site.until(site.prometheus.is_ready, "Prometheus scrapes one more ingest")
                yield ingest
        finally:
            ingest.stop()
            watch.release()
