"""Read the numbers of `status` from a Redis without a database."""

from pathlib import Path

import pytest
import redis

from ops.status.overview import take_overview
from ops.status.render import as_document, print_overview
from runtime.inbox.signatures import SignatureRecord
from runtime.inbox.wrong_paths import WrongPaths
from runtime.settings import Settings

pytestmark = pytest.mark.servers


def test_deliveries_that_ingest_refuses_are_named(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.from_env({"REDIS_URL": redis_url, "PAIDUP_DATA_DIR": str(tmp_path)})
    with redis.Redis.from_url(redis_url) as client:
        WrongPaths(client).add({"/webhook": 2})
        SignatureRecord(client).add(mismatched=3, matched=())

    overview = take_overview(settings)
    document = as_document(overview)
    print_overview(overview)

    assert isinstance(document, dict)
    ((wrong,),) = [document["wrong_paths"]]
    assert (wrong["path"], wrong["deliveries"]) == ("/webhook", 2)
    said = " ".join(capsys.readouterr().out.split())
    assert "2 signed requests to /webhook got 404" in said
    assert isinstance(document["mismatched_signatures"], dict)
    assert document["mismatched_signatures"]["deliveries"] == 3
    assert "3 signed requests in a row matched no secret" in said
    assert "try one: `paidup doctor --delivery BODY --signature HEADER`" in said
