import pytest

from ops.samples.asking import ask
from ops.samples.courier import UNREACHABLE
from runtime.servers.ports import free_port


@pytest.mark.servers
def test_a_console_that_is_away_is_an_answer_too() -> None:
    answer = ask(f"http://127.0.0.1:{free_port()}", "token", "usr/1")

    assert answer.status == UNREACHABLE
    assert "refused" in answer.said
