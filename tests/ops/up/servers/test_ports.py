import socket

import pytest

from ops.up.servers import ports

pytestmark = pytest.mark.servers


def test_a_free_port_can_be_listened_on_and_is_no_clients_port() -> None:
    port = ports.free_port()

    with socket.create_server((ports.LOOPBACK, port)):
        assert port < 32_768
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_when_all_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _: False)

    with pytest.raises(OSError, match="no free port"):
        ports.free_port()


def test_an_address_of_the_other_family_is_tried_as_such() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert not ports.is_free(server.getsockname()[1], "::1")
