"""Ask a running Prometheus over its HTTP API."""

import json
import urllib.parse
import urllib.request
from contextlib import suppress
from typing import Any, Final

from ops.up.servers.ports import LOOPBACK

_ANSWER_SECONDS: Final = 30.0
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The server is on loopback: no proxy of the environment is asked."""


class PrometheusApi:
    """The HTTP API of a Prometheus on a port of loopback."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"

    def ask(self, path: str, **fields: str) -> Any:
        """Return the data of an answer.

        Raises:
            OSError: there is no answer, or a refusal, which bears Prometheus' own words.
        """
        query = urllib.parse.urlencode(fields)
        try:
            answer = _DIRECT.open(f"{self.url}/api/v1/{path}?{query}", timeout=_ANSWER_SECONDS)
        except urllib.error.HTTPError as refused:
            raise OSError(f"{path} {fields}: {refused.read().decode()}") from refused
        with answer:
            return json.load(answer)["data"]

    def samples(self, expression: str) -> list[Any]:
        """Return the samples of an expression now, each with its labels and its value."""
        result: list[Any] = self.ask("query", query=expression)["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that has one sample at most."""
        samples = self.samples(expression)
        return float(samples[0]["value"][1]) if samples else None

    def lines(self, expression: str, *, start: float, end: float, step: float) -> list[Any]:
        """Return the series of an expression over time."""
        fields = {"start": f"{start}", "end": f"{end}", "step": f"{step}"}
        result: list[Any] = self.ask("query_range", query=expression, **fields)["result"]
        return result

    def targets(self) -> dict[str, str]:
        """Return the health of each job's target."""
        found = self.ask("targets")["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    def is_ready(self) -> bool:
        """Return True once it answers queries."""
        with suppress(OSError), _DIRECT.open(f"{self.url}/-/ready", timeout=_ANSWER_SECONDS):
            return True
        return False
