"""``python -m workers`` as the release that ``TEST_RELEASE`` names; events wait a moment only."""

import os
import sys
from unittest.mock import patch

from workers.supervisor.main import main


def install() -> None:
    """Take the release's number, and try again at once what meets another schema."""
    patch("runtime.schema.__version__", os.environ["TEST_RELEASE"]).start()
    patch("workers.batches.retry_policy.OUTDATED_SECONDS", 0.1).start()


if __name__ == "__main__":
    install()
    sys.exit(main((sys.executable, "-m", "tests.system.release_pool")))
