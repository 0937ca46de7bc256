"""``python -m workers`` with the poisoned pool."""

import sys

from workers.supervisor import main

if __name__ == "__main__":
    sys.exit(main((sys.executable, "-m", "tests.workers.poisoned_pool")))
