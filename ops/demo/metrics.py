"""Read counters before and after, to prove that a dashboard would show the events."""

import urllib.request
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

Readings = dict[str, float]


def read_counters(urls: Iterable[str]) -> Readings:
    """Return every counter by name and labels, summed over the endpoints."""
    readings: Readings = {}
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url in urls:
        with direct.open(url, timeout=5) as answer:
            exposition = answer.read().decode()
        for name, value in _counters(exposition):
            readings[name] = readings.get(name, 0.0) + value
    return readings


def counter_changes(before: Readings, after: Readings) -> Readings:
    """Return the change of each counter between two readings, without those that did not move."""
    steps = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {name: step for name, step in sorted(steps.items()) if step}


def _counters(exposition: str) -> Iterable[tuple[str, float]]:
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples if family.type == "counter" else ():
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value
