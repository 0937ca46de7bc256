"""Build small events, claim them, and move the times in Redis."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from billing.envelope import Envelope, parse
from runtime.inbox.entries import Claim, Finished, Lane
from runtime.inbox.inbox import Inbox, new_token

Client = Any
"""A client of redis-py, untyped, because its answers depend on its settings."""

PREFIX = "paidup:"


def in_order(number: int) -> str:
    """Return a number for a name, so that names sort as their numbers do: 9, z10, z11, zz100.

    Redis orders events, or customers, of one millisecond by name. That is the order in which a test
    accepted them, however coarse the clock.
    """
    return "z" * (len(str(number)) - 1) + str(number)


def key_of(number: int) -> str:
    """Return the key of ``event(number)``."""
    return f"evt_{in_order(number)}"


def event(
    number: int,
    *,
    customer: str = "cus_1",
    kind: str = "customer.subscription.updated",
    padding: int = 0,
) -> Envelope:
    """Build an event of a customer; the customer changes the partition, not the fingerprint."""
    document = {
        "id": key_of(number),
        "object": "event",
        "type": kind,
        "created": 1_700_000_000 + number,
        "livemode": False,
        "api_version": "2026-01-28",
        "data": {
            "object": {
                "id": "sub_1",
                "object": "subscription",
                "customer": customer,
                "description": "x" * padding,
            }
        },
    }
    return parse(json.dumps(document).encode())


def settled(keys: Iterable[str], *, first: int = 1, epoch: str = "epoch") -> list[Finished]:
    """Build the results of these events, with the fingerprint of ``event`` and growing numbers."""
    return [
        Finished(
            key=key,
            event_id=key,
            fingerprint=event(0).fingerprint,
            settlement=number,
            database_epoch=epoch,
            result={"outcome": "applied"},
        )
        for number, key in enumerate(keys, first)
    ]


def keys_of(claim: Claim) -> list[str]:
    return [entry.key for entry in claim.entries]


def claim_and_finish_all(
    inbox: Inbox, lanes: Sequence[Lane] = (Lane.LIVE, Lane.REPLAY)
) -> list[str]:
    """Drain as a worker does, and return the keys in order."""
    token, keys = new_token(), list[str]()
    while (claim := inbox.claim(token, lanes=lanes)).entries:
        inbox.finish(token, settled(keys_of(claim)))
        keys += keys_of(claim)
    return keys


def let_time_pass(client: Client, seconds: float) -> None:
    """Move all times in Redis into the past."""
    for key in client.scan_iter(f"{PREFIX}*"):
        kind = client.type(key)
        if kind == b"zset":
            for member, score in client.zrange(key, 0, -1, withscores=True):
                client.zadd(key, {member: score - seconds * 1000})
    for worker, entry in client.hgetall(f"{PREFIX}workers").items():
        processes, expiry = entry.split()
        client.hset(
            f"{PREFIX}workers", worker, b"%s %d" % (processes, int(expiry) - seconds * 1000)
        )


def forget_times(client: Client, *, older_by_seconds: int) -> None:
    """Move what is remembered of settled events into the past."""
    for name in ("settled", "settled:bodies"):
        entries = client.lrange(f"{PREFIX}{name}", 0, -1)
        client.delete(f"{PREFIX}{name}")
        for entry in entries:
            at, rest = entry.split(b" ", 1)
            older = int(at) - older_by_seconds * 1000
            client.rpush(f"{PREFIX}{name}", b"%d %s" % (older, rest))


def one_place_each(client: Client) -> dict[str, list[str]]:
    """Find the places of every unfinished event, without the inbox's own code."""
    places: dict[str, list[str]] = {
        key.decode(): [] for key in client.zrange(f"{PREFIX}index", 0, -1)
    }
    for queue in client.scan_iter(f"{PREFIX}queue:*"):
        for key in client.zrange(queue, 0, -1):
            places.setdefault(key.decode(), []).append(queue.decode())
    for claim in client.scan_iter(f"{PREFIX}claim:*"):
        for field in client.hkeys(claim):
            if field.startswith(b"e:"):
                places.setdefault(field[2:].decode(), []).append(claim.decode())
    return places
