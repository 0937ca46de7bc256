"""Every time limit, in seconds."""

from typing import Final

# Processes that end with their parent ------------------------------------------------------

PARENT_LOOK_SECONDS: Final = 0.2
"""A process looks this often whether its parent lives. A server keeps its port that long."""

SERVER_ORPHAN_SECONDS: Final = 1.0
"""A server process whose launcher is gone may take this long to end after SIGTERM."""
