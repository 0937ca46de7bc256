"""``python -m workers.drain.pool`` with the faults that ``FAULTS`` names."""

from tests.faults.faulty import install
from workers.drain.pool import main

if __name__ == "__main__":
    install()
    main()
