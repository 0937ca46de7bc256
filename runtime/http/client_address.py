"""Find the client's address for the log: the socket's, or the one that a trusted proxy names."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from runtime.settings import Network

Client = IPv4Address | IPv6Address | None


def client_address(remote: str | None, forwarded: str, trusted: Sequence[Network]) -> Client:
    """Return the nearest address that is not a trusted proxy's, or None if none is valid.

    Reads ``X-Forwarded-For`` from its end, where trusted proxies append. Entries before the first
    untrusted or invalid one may be forged by the sender.
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
    # A dual-stack socket reports an IPv4 proxy in this form, which no IPv4 network contains.
    return getattr(address, "ipv4_mapped", None) or address
