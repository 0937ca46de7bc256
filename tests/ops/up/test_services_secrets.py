"""A service of a stack gets its own secrets, in each of their two spellings, and no other."""

from pathlib import Path

import pytest

from ops.up.services import SECRETS, ConsoleService, IngestService, Service, WorkerService

SERVICES = (IngestService, WorkerService, ConsoleService)
OF_COMMANDS = {"PAIDUP_OWNER_DATABASE_URL", "PAIDUP_APPLICATION_DATABASE_URL"}
"""Secrets that commands of operators need, and no service."""
OTHERS = {"PAIDUP_LOG_LEVEL": "info", "PAIDUP_LIVEMODE": "any", "PAIDUP_CONNECT_ACCOUNTS": "acct_1"}


def given(kind: type[Service], folder: Path, suffix: str = "") -> set[str]:
    """Return the variables of a service whose operator has set every secret, and others."""
    environ = {**OTHERS, **{f"{name}{suffix}": "set" for name in SECRETS}}
    service = kind(data_dir=folder, environ=environ, ready_url="http://127.0.0.1/readyz")
    return set(service.environ()) & {*environ}


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.parametrize("suffix", ["", "_FILE"])
def test_a_service_gets_its_secrets_and_every_other_setting(
    kind: type[Service], suffix: str, tmp_path: Path
) -> None:
    wanted = {*OTHERS, *(f"{name}{suffix}" for name in kind.secrets)}

    assert given(kind, tmp_path, suffix) == wanted


def test_ingest_knows_no_database_and_no_service_the_owner(tmp_path: Path) -> None:
    assert {"DATABASE_URL", "STRIPE_API_KEY"}.isdisjoint(given(IngestService, tmp_path))
    for kind in SERVICES:
        assert given(kind, tmp_path).isdisjoint(OF_COMMANDS)


def test_every_other_secret_belongs_to_a_service() -> None:
    used = {name for kind in SERVICES for name in kind.secrets}

    assert used == SECRETS - OF_COMMANDS
