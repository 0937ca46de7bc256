"""``python -m workers.drain.pool`` of the release that ``TEST_RELEASE`` names."""

from tests.system.release_worker import install
from workers.drain.pool import main

if __name__ == "__main__":
    install()
    main()
