"""``python -m workers`` whose supervisor and pool have the faults that ``FAULTS`` names."""

import sys

from tests.faults.faulty import install
from workers.supervisor.main import main

if __name__ == "__main__":
    install()
    sys.exit(main((sys.executable, "-m", "tests.faults.faulty_pool")))
