import pytest

from ops.errors import CommandFailed
from ops.up import addresses
from runtime.settings import Address, Settings


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The ports that are in use; every other one is free."""
    ports: set[int] = set()
    monkeypatch.setattr(addresses, "is_free", lambda port, _host: port not in ports)
    monkeypatch.setattr(addresses, "free_port", lambda: 25_000)
    return ports


def settings(**environ: str) -> Settings:
    return Settings.from_env(environ)


def nothing(_: str) -> None:
    pytest.fail("nothing was to be said")


@pytest.mark.usefixtures("taken")
def test_what_the_operator_said_stands() -> None:
    found = addresses.choose_addresses(settings(PAIDUP_INGEST_BIND="0.0.0.0:80"), "given", nothing)

    assert found == {
        "PAIDUP_INGEST_BIND": "0.0.0.0:80",
        "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:9101",
        "PAIDUP_CONSOLE_BIND": "127.0.0.1:8001",
    }


@pytest.mark.usefixtures("taken")
def test_port_0_is_any_free_one() -> None:
    found = addresses.choose_addresses(settings(PAIDUP_INGEST_BIND="[::1]:0"), "given", nothing)

    assert found["PAIDUP_INGEST_BIND"] == "[::1]:25000"


@pytest.mark.usefixtures("taken")
def test_free_ports_are_on_loopback_whatever_was_said() -> None:
    found = addresses.choose_addresses(settings(PAIDUP_INGEST_BIND="0.0.0.0:80"), "free", nothing)

    assert set(found.values()) == {"127.0.0.1:25000"}


def test_a_taken_address_for_stripe_is_an_error_that_names_the_variable(taken: set[int]) -> None:
    taken.add(8000)

    with pytest.raises(CommandFailed, match=r"127\.0\.0\.1:8000 is in use: .* PAIDUP_INGEST_BIND"):
        addresses.choose_addresses(settings(), "given", nothing)


def test_a_taken_metrics_port_is_a_warning_and_no_reason_not_to_work(taken: set[int]) -> None:
    taken.add(9101)
    said: list[str] = []

    found = addresses.choose_addresses(settings(), "given", said.append)

    assert found["PAIDUP_WORKER_METRICS_BIND"] == "127.0.0.1:25000"
    assert said == ["127.0.0.1:9101 is in use: the worker's metrics are at 127.0.0.1:25000"]


def test_a_taken_console_port_is_a_warning_too(taken: set[int]) -> None:
    taken.add(8001)
    said: list[str] = []

    found = addresses.choose_addresses(settings(), "given", said.append)

    assert found["PAIDUP_CONSOLE_BIND"] == "127.0.0.1:25000"
    assert said == ["127.0.0.1:8001 is in use: the console is at 127.0.0.1:25000"]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("127.0.0.1", 8000), "http://127.0.0.1:8000"),
        (Address("0.0.0.0", 80), "http://127.0.0.1:80"),
        (Address("::", 80), "http://[::1]:80"),
    ],
)
def test_this_machine_reaches_itself(address: Address, url: str) -> None:
    assert addresses.local_url(address) == url
