"""``python -m workers`` with the poisoned pool."""

import sys

from workers.supervisor.main import main

if __name__ == "__main__":
    sys.exit(main((sys.executable, "-m", "tests.workers.drain.poisoned_pool")))
