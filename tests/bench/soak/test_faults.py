"""The soak test has many kinds of fault, and each can be named on the command line."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.soak.faults import faults_of
from bench.soak.sending import Sending
from bench.soak.site import SoakSite
from ops.send.endpoint import Endpoint
from ops.up.stack import Stack


def test_there_are_at_least_25_kinds_with_different_names(tmp_path: Path) -> None:
    servers: Any = SimpleNamespace(
        postgres=SimpleNamespace(rebuild_standby=None),
        redis=SimpleNamespace(until_replica_follows=None),
        fail_over_postgres=print,
        fail_over_redis=print,
    )
    site = SoakSite(
        stack=Stack(tmp_path, {}),
        servers=servers,
        sending=Sending(Endpoint.at("http://127.0.0.1:9/webhooks/stripe"), "whsec_x", 1),
        chance=random.Random(1),  # noqa: S311
    )

    kinds = [fault.kind for fault in faults_of(site)]

    assert len(kinds) == len(set(kinds))
    assert len(kinds) >= 25
