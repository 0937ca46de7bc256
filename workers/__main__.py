"""``python -m workers``, which ``paidup worker`` becomes."""

import sys

from workers.supervisor.main import main

if __name__ == "__main__":
    sys.exit(main())
