from pathlib import Path

import pytest

from ops.commands.up import welcome
from ops.up.stack import Stack
from ops.up.up_file import data_dir_of


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, ""),
        ({"PAIDUP_DATA_DIR": "/srv/my data"}, "PAIDUP_DATA_DIR='/srv/my data' "),
        ({"PAIDUP_DATA_DIR": "kept"}, f"PAIDUP_DATA_DIR={Path.cwd() / 'kept'} "),
    ],
)
def test_calls_name_the_data_folder_if_the_operator_set_it(
    environ: dict[str, str], named: str
) -> None:
    said = welcome(Stack(data_dir_of(environ), environ), environ)

    calls = {line.strip() for line in said.splitlines() if "paidup " in line}
    secret = "STRIPE_WEBHOOK_SECRET=$(stripe listen --print-secret)"
    assert calls >= {f"{named}paidup send", f"{named}{secret} paidup up"}


def test_it_says_where_to_log_in_and_with_which_token(tmp_path: Path) -> None:
    environ = {"PAIDUP_CONSOLE_URL": "https://ops.example.com/paidup"}
    stack = Stack(tmp_path, environ)

    assert "https://ops.example.com/paidup/login (log in with a token of" in welcome(stack, environ)

    stack.login_token_file = tmp_path / "console_login_token"
    assert f"log in with the token in {tmp_path}/console_login_token" in welcome(stack, environ)
