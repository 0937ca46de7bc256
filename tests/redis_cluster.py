"""A Redis Cluster of one node that serves every slot, as ``cluster-enabled yes`` makes it."""

from pathlib import Path

from ops.up.servers import ports
from ops.up.servers.redis_server import Redis

_ALL_SLOTS = ("CLUSTER", "ADDSLOTSRANGE", "0", "16383")


class ClusterNode(Redis):
    """Its durability is that of production, so that nothing but the cluster is wrong with it."""

    def prepare(self) -> None:
        """Add cluster mode to the configuration; the bus listens on a free port of its own."""
        super().prepare()
        config = Path(self.folder / "redis.conf")
        cluster = f"cluster-enabled yes\ncluster-port {ports.free_port()}\n"
        config.write_text(config.read_text() + cluster)

    def start(self) -> None:
        """Start it, and give it every slot."""
        super().start()
        with self.client() as client:
            client.execute_command(*_ALL_SLOTS)
