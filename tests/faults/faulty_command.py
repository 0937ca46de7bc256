"""A command of ``paidup`` with the faults that ``FAULTS`` names."""

import sys

from ops.cli import run
from tests.faults.faulty import install

if __name__ == "__main__":
    install()
    sys.exit(run(sys.argv[1:]))
