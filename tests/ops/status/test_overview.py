"""Read the numbers of `status` from a Redis without a database."""

from pathlib import Path

import pytest
import redis

from ops.status.overview import take_overview
from ops.status.render import as_document, print_overview
from runtime.inbox.wrong_paths import WrongPaths
from runtime.settings import Settings

pytestmark = pytest.mark.servers


def test_signed_deliveries_at_a_wrong_path_are_named(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.from_env({"REDIS_URL": redis_url, "PAIDUP_DATA_DIR": str(tmp_path)})
    with redis.Redis.from_url(redis_url) as client:
        WrongPaths(client).add({"/webhook": 2})

    overview = take_overview(settings)
    document = as_document(overview)
    print_overview(overview, None)

    assert isinstance(document, dict)
    ((wrong,),) = [document["wrong_paths"]]
    assert (wrong["path"], wrong["deliveries"]) == ("/webhook", 2)
    assert "2 signed requests to /webhook got 404" in " ".join(capsys.readouterr().out.split())
