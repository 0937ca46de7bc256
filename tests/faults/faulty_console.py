"""``python -m ops.console`` with the faults that ``FAULTS`` names, also in its server process."""

import sys

from ops.console.__main__ import main
from tests.faults.faulty import install

# The server process imports this module under another name, so this is not behind __main__.
install()

if __name__ == "__main__":
    sys.exit(main())
