"""``python -m workers``, which ``paidup worker`` becomes."""

import sys

from workers.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
