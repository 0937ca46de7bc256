"""The time limits of all processes, in seconds, side by side because they hang together."""

from typing import Final

# Redis: how long ingest waits for its replicas.

REPLICA_WAIT_SECONDS: Final = 0.35
"""For each of two waits in a row. With the write they must end within the second for an answer."""
