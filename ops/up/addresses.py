"""Choose the addresses of a stack: those the operator set, or free ones."""

from collections.abc import Callable
from typing import Literal

from ops.errors import CommandFailed
from ops.up.servers.ports import LOOPBACK, free_port, is_free
from runtime.settings import Address, Settings

Ports = Literal["given", "free"]
"""``free`` chooses every port, so that several stacks can run on one machine."""

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def choose_addresses(
    settings: Settings, ports: Ports, say: Callable[[str], None]
) -> dict[str, str]:
    """Return the variables with the addresses of ingest, the worker and the console.

    Raises:
        CommandFailed: if the address of ingest is in use.
    """
    ingest = _wanted(settings.ingest_bind, ports)
    if not is_free(ingest.port, ingest.host):
        raise CommandFailed(
            f"{ingest} is in use: stop what listens there,"
            " or set PAIDUP_INGEST_BIND to another address"
        )
    metrics = _wanted(settings.worker_metrics_bind, ports)
    console = _wanted(settings.console_bind, ports)
    return {
        "PAIDUP_INGEST_BIND": str(ingest),
        "PAIDUP_WORKER_METRICS_BIND": str(_or_another(metrics, "the worker's metrics are", say)),
        "PAIDUP_CONSOLE_BIND": str(_or_another(console, "the console is", say)),
    }


def _or_another(address: Address, what: str, say: Callable[[str], None]) -> Address:
    # Metrics or a console at another port are no reason to refuse events.
    if is_free(address.port, address.host):
        return address
    another = Address(address.host, free_port())
    say(f"{address} is in use: {what} at {another}")
    return another


def local_url(address: Address) -> str:
    """Return the URL under which this machine reaches the address."""
    host = _EVERYWHERE.get(address.host, address.host)
    return f"http://{Address(host, address.port)}"


def _wanted(address: Address, ports: Ports) -> Address:
    if ports == "free":
        return Address(LOOPBACK, free_port())
    return address if address.port else Address(address.host, free_port())
