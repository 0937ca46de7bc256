"""Where the parts of a stack listen: what the operator said, unless it is taken or left open."""

from collections.abc import Callable
from typing import Literal

from ops.errors import AddressTaken
from ops.up.servers.ports import LOOPBACK, free_port, is_free
from runtime.settings import Address, Settings

Ports = Literal["given", "free"]
"""``free`` decides every port itself, so that stacks can stand side by side."""

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def decide(settings: Settings, ports: Ports, say: Callable[[str], None]) -> dict[str, str]:
    """The variables that say where ingest, the worker and the console listen.

    Raises:
        AddressTaken: if Stripe's events cannot come in where the operator wants them.
    """
    ingest = _wanted(settings.ingest_bind, ports)
    if not is_free(ingest.port, ingest.host):
        raise AddressTaken("PAIDUP_INGEST_BIND", ingest)
    metrics = _wanted(settings.worker_metrics_bind, ports)
    console = _wanted(settings.console_bind, ports)
    return {
        "PAIDUP_INGEST_BIND": str(ingest),
        "PAIDUP_WORKER_METRICS_BIND": str(_or_another(metrics, "the worker's metrics are", say)),
        "PAIDUP_CONSOLE_BIND": str(_or_another(console, "the console is", say)),
    }


def _or_another(address: Address, what: str, say: Callable[[str], None]) -> Address:
    # What nobody scrapes or reads is no reason to leave events lying.
    if is_free(address.port, address.host):
        return address
    another = Address(address.host, free_port())
    say(f"{address} is in use: {what} at {another}")
    return another


def local_url(address: Address) -> str:
    """How this machine reaches what listens there."""
    host = _EVERYWHERE.get(address.host, address.host)
    return f"http://{Address(host, address.port)}"


def _wanted(address: Address, ports: Ports) -> Address:
    if ports == "free":
        return Address(LOOPBACK, free_port())
    return address if address.port else Address(address.host, free_port())
