"""``python -m ingest`` with the faults that ``FAULTS`` names, also in its server processes."""

import sys

from ingest.__main__ import main
from tests.faults.faulty import install

# Server processes import this module under another name, so this is not behind __main__.
install()

if __name__ == "__main__":
    sys.exit(main())
