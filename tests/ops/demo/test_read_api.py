import pytest

from ops.demo.read_api import request_entitlements
from ops.send.delivery import UNREACHABLE
from ops.up.servers.ports import free_port


@pytest.mark.servers
def test_a_console_that_is_away_is_an_answer_too() -> None:
    answer = request_entitlements(f"http://127.0.0.1:{free_port()}", "token", "usr/1")

    assert answer.status == UNREACHABLE
    assert "refused" in answer.said
