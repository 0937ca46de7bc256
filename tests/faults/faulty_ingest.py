"""``python -m ingest`` with the faults that ``FAULTS`` names, also in its server processes."""

import sys

from ingest.__main__ import main
from tests.faults.faulty import install

# Server processes import this module anew under another name, so it does not ask for its own.
install()

if __name__ == "__main__":
    sys.exit(main())
