"""Who sent a request, for the log: the socket's address, or what a trusted proxy says it was."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from runtime.settings import Network

Client = IPv4Address | IPv6Address | None


def client_address(remote: str | None, forwarded: str, trusted: Sequence[Network]) -> Client:
    """The nearest address that is not a trusted proxy's; ``None`` where none is valid.

    ``X-Forwarded-For`` is read from its end, where our own proxies write. What stands before the
    first stranger, or before anything that is no address, is the sender's own invention.
    """
    client = _address(remote or "")
    for hop in reversed(forwarded.split(",")):
        if not _trusted(client, trusted) or (before := _address(hop.strip())) is None:
            break
        client = before
    return client


def _trusted(address: Client, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> Client:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket writes an IPv4 proxy so, and no network of IPv4 holds that form.
    return getattr(address, "ipv4_mapped", None) or address
