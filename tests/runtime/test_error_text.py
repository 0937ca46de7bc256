"""An error is described with its reason and without secrets."""

import psycopg
import pytest
import redis
from sqlalchemy.exc import OperationalError

from runtime.error_text import describe, without_secrets


def test_the_class_and_the_reason_are_one_line() -> None:
    error = redis.ConnectionError("Error 111 connecting to redis:6379.\n  Connection refused.")

    assert (
        describe(error)
        == "ConnectionError: Error 111 connecting to redis:6379. Connection refused."
    )
    assert describe(TimeoutError()) == "TimeoutError"


def test_the_driver_s_error_is_described_and_not_the_statement_around_it() -> None:
    wrapped = OperationalError("SELECT secret", {}, psycopg.OperationalError("no route to host"))

    assert describe(wrapped) == "OperationalError: no route to host"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot reach redis://:hunter2@host:6379/0", "cannot reach redis://***@host:6379/0"),
        ("postgresql://ann:hunter2@one,two/d is down", "postgresql://***@one,two/d is down"),
        ("cannot reach redis://:pa/hunter2@x@host:6379/0", "cannot reach redis://***@host:6379/0"),
        ('invalid percent-encoded token: "p%hunter2"', "invalid percent-encoded token: ***"),
        (
            'forbidden value %00 in percent-encoded value: "hunter2%00"',
            "forbidden value %00 in percent-encoded value: ***",
        ),
        ("failed to resolve host 'hunter2@db': no", "failed to resolve host '***@db': no"),
        (
            "Port could not be cast to integer value as 'hunter2'",
            "Port could not be cast to integer value as ***",
        ),
        ("host=db password=hunter2 user=ann", "host=db password=*** user=ann"),
        ("host=db password='hunter2 hunter2' user=ann", "host=db password=*** user=ann"),
        ("key sk_live_hunter2 is wrong", "key sk_live_*** is wrong"),
        ("whsec_hunter2", "whsec_***"),
        ("unknown command 'AUTH', with args beginning with: 'hunter2'", "unknown command 'AUTH'"),
        (
            'password authentication failed for user "paidup"',
            'password authentication failed for user "paidup"',
        ),
        ("invalid username-password pair or user is disabled.",) * 2,
    ],
)
def test_secrets_are_left_out_and_the_reason_stays(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_long_message_is_cut() -> None:
    assert len(describe(ValueError("x" * 5000))) == 300
