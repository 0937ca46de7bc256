from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from runtime.database.engine import engine_for


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """Open a migrated database."""
    engine = engine_for(database, application_name="test", pool_size=12)
    yield engine
    engine.dispose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, three times."""
    monkeypatch.setattr("ops.stripe_runs.asking.STRIPE_AGAIN_SECONDS", (0.0, 0.0))
