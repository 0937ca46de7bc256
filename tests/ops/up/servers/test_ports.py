import random
import socket
import subprocess
import sys

import pytest

from ops.up.servers import ports

pytestmark = pytest.mark.servers


def test_a_free_port_can_be_listened_on_and_is_no_clients_port() -> None:
    port = ports.free_port()

    with socket.create_server((ports.LOOPBACK, port)):
        assert port < 32_768
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_a_chosen_port_is_reserved_against_other_processes_until_a_server_uses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = ports.free_port()
    monkeypatch.setattr(random, "randrange", lambda *_: port)

    with pytest.raises(OSError, match="no free port"):
        ports.free_port()
    script = (
        "import random; from ops.up.servers import ports;"
        f" random.randrange = lambda *_: {port}; ports.free_port()"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert "no free port" in other.stderr
    with socket.create_server((ports.LOOPBACK, port)):
        pass
    with socket.create_server((ports.LOOPBACK, port)):
        pass  # and again, as after a restart


def test_only_the_newest_reservations_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_MAX_RESERVED", 2)
    first, *_ = [ports.free_port() for _ in range(3)]
    assert len(ports._reserved) == 2

    monkeypatch.setattr(random, "randrange", lambda *_: first)

    assert ports.free_port() == first


def test_when_all_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_reserve", lambda _: False)

    with pytest.raises(OSError, match="no free port"):
        ports.free_port()


def test_an_address_of_the_other_family_is_tried_as_such() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert not ports.is_free(server.getsockname()[1], "::1")
