from ipaddress import ip_network

import pytest

from runtime.http.client_address import client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("203.0.113.1", "", "203.0.113.1"),
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, <script>", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        (None, "198.51.100.7", "None"),
        ("unix", "198.51.100.7", "None"),
    ],
)
def test_only_trusted_proxies_name_the_client(
    remote: str | None, forwarded: str, client: str
) -> None:
    assert str(client_address(remote, forwarded, TRUSTED)) == client


def test_without_trusted_proxies_the_header_is_ignored() -> None:
    assert str(client_address("10.0.0.1", "198.51.100.7", ())) == "10.0.0.1"
