"""``make dashboard-pictures``: draw ``docs/pictures/dashboard-*.svg``, a picture of each dashboard.

    python -m bench.dashboards [--seconds N] [--to FOLDER]

A shop is kept busy for some minutes, while Debian's Prometheus scrapes it with the shipped
configuration. Each panel's queries are then asked, and the answers drawn. Grafana takes no part.
"""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from bench.dashboards.busy_minutes import keep_busy
from bench.dashboards.drawing import PictureTimes, PromSeries, as_series, draw
from bench.dashboards.reading import (
    DashboardPanel,
    GrafanaDashboard,
    PanelQuery,
    read_dashboards,
)
from ops.up.servers.account import temporary_folder
from tests.browser.sample_shop import open_shop
from tests.deploy.monitoring import (
    PROGRAMS,
    alertmanager_notifying,
    prometheus_watching,
)
from tests.prometheus_api import PrometheusApi

TARGET: Final = Path(__file__).parents[2] / "docs" / "pictures"
STEP: Final = 5.0
WARMING: Final = 30.0
"""Seconds until rates are known, which are not drawn."""
RATE_OVER: Final = "30s"
_NO_RECEIVER: Final = "http://127.0.0.1:9/"
"""Nothing listens at this port: a picture notifies no one."""


@click.command()
@click.option("--seconds", default=420.0, show_default=True, help="How long the shop is busy.")
@click.option("--to", type=click.Path(path_type=Path), default=TARGET, help="Where they are put.")
def main(seconds: float, to: Path) -> None:
    """Keep a shop busy, and draw each dashboard."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise click.ClickException(
            f"{', '.join(missing)} not found:"
            " `apt-get install prometheus prometheus-alertmanager` installs all"
        )
    folder = temporary_folder("paidup-dashboards-")
    try:
        with (
            open_shop(folder) as shop,
            alertmanager_notifying({"page": _NO_RECEIVER}, folder / "alertmanager") as port,
            prometheus_watching(
                shop.system.stack, folder / "prometheus", alertmanager=port
            ) as prometheus,
        ):
            start = time.time() + WARMING
            keep_busy(shop, seconds)
            times = PictureTimes(start=start, end=time.time(), step=STEP)
            for dashboard in read_dashboards():
                picture = picture_of(dashboard, prometheus, times)
                (to / f"dashboard-{dashboard.name}.svg").write_text(picture, encoding="utf-8")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def picture_of(dashboard: GrafanaDashboard, prometheus: PrometheusApi, times: PictureTimes) -> str:
    """Ask for everything on a dashboard, and draw it."""
    answers = {
        panel.number: _answers(panel, prometheus, times)
        for panel in dashboard.panels
        if panel.queries
    }
    notes = _over_time(dashboard.notes, prometheus, times)
    return draw(dashboard, answers, notes, times)


def _answers(
    panel: DashboardPanel, prometheus: PrometheusApi, times: PictureTimes
) -> list[PromSeries]:
    if panel.kind == "timeseries":
        return _over_time(panel.queries, prometheus, times)
    found: list[PromSeries] = []
    for query in panel.queries:
        found += as_series(prometheus.samples(query.over(RATE_OVER)), query.legend)
    return found


def _over_time(
    queries: Iterable[PanelQuery], prometheus: PrometheusApi, times: PictureTimes
) -> list[PromSeries]:
    found: list[PromSeries] = []
    for query in queries:
        answer: list[Any] = prometheus.lines(
            query.over(RATE_OVER), start=times.start, end=times.end, step=times.step
        )
        found += as_series(answer, query.legend)
    return found


if __name__ == "__main__":
    main()
