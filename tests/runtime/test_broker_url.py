import pytest

from runtime.broker_url import UNTRIED_SCHEMES, doubts_of_broker
from runtime.settings import Settings, SettingsError


@pytest.mark.parametrize(
    "url", ["amqp://user:pw@host:5672/paidup", "amqps://host//", "redis://host/0", "", " "]
)
def test_a_broker_that_was_tried_raises_no_doubt(url: str) -> None:
    settings = Settings.from_env({"REDIS_URL": "redis://a/0", "CELERY_BROKER_URL": url})

    assert settings.doubts == ()


@pytest.mark.parametrize("scheme", UNTRIED_SCHEMES)
def test_a_broker_that_was_never_tried_is_accepted_with_a_doubt_that_repeats_no_password(
    scheme: str,
) -> None:
    settings = Settings.from_env({"CELERY_BROKER_URL": f"{scheme}://key:hunter2@"})

    (doubt,) = settings.doubts
    assert doubt.startswith(f"CELERY_BROKER_URL: {scheme}:// was never tried with Paidup")
    assert "hunter2" not in doubt


def test_what_is_no_broker_is_refused() -> None:
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL: must be a URL that starts with"):
        Settings.from_env({"CELERY_BROKER_URL": "postgresql://host/db"})
    assert doubts_of_broker("postgresql://host/db") == ()
