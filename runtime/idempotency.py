"""Run an operation once for each idempotency key, however often it is asked for.

    key -> claim -> effect -> result stored          a repeated call: key -> claim -> stored result

The one place for it. ``idempotent`` wraps an effect: a function that changes rows through the
connection that it is given and returns a result. Claim, effect and stored result belong to the
transaction of the caller, so they are committed together or not at all. Nothing but PostgreSQL is
asked. A process that dies before COMMIT leaves nothing behind, and one that dies after it leaves
the result for the next call.

The claim is an advisory lock of the transaction, so a second call finds at once that the first is
not over, instead of waiting for it, and no dead process keeps one.

It imports nothing of Paidup, so that other applications can use it with the table of
``create_table`` in a database of their own: ``from paidup.runtime.idempotency import idempotent``.

    IdempotencyError
        InvalidKey      the key has a wrong length or characters; HTTP 400, as for a missing one
        InFlight        a call with this key is not over; HTTP 409
        KeyReused       the key stands for another request; HTTP 422
        NoTransaction   the connection commits each statement by itself: a mistake in the program

The statuses are those of the IETF draft of the header ``Idempotency-Key``.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import update_wrapper
from hashlib import blake2b, sha256
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from sqlalchemy import Connection, text

KEPT: Final = timedelta(hours=24)
"""For how long a key gives the stored result; afterwards it is new. Stripe's keys last as long."""

MAX_REMOVED: Final = 1000
"""Expired keys that one call of ``remove_expired`` removes at most."""

_VALID_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED: Final = re.compile(r'\\(["\\])')

Request = TypeVar("Request")
Result = TypeVar("Result")

Effect = Callable[[Connection, Request], Result]
"""Changes rows through the connection, commits nothing, and returns the result."""


class IdempotencyError(Exception):
    """A call that was not carried out, and of which nothing may be committed."""

    http_status: ClassVar = 500


class InvalidKey(IdempotencyError):
    """The key is not 1 to 255 visible ASCII characters."""

    http_status = 400

    def __init__(self) -> None:
        super().__init__("an idempotency key is 1 to 255 visible ASCII characters, without spaces")


class InFlight(IdempotencyError):
    """A call with this key is not over yet: repeat it later."""

    http_status = 409

    def __init__(self, operation: str, key: str) -> None:
        self.operation = operation
        self.key = key
        super().__init__(f"a call of {operation} with the key {key} is not over: repeat it later")


class KeyReused(IdempotencyError):
    """The key stands for another request: choose a new key for a new request."""

    http_status = 422

    def __init__(self, operation: str, key: str) -> None:
        self.operation = operation
        self.key = key
        super().__init__(
            f"the key {key} stands for another request of {operation}: repeat that request"
            " unchanged, or choose a new key"
        )


class NoTransaction(IdempotencyError):
    """The connection commits each statement by itself, so an effect could happen twice."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} must be called inside a transaction, never in autocommit")


class HitCounter(Protocol):
    """A counter of Prometheus with the label ``operation``."""

    def labels(self, operation: str, /) -> Any:
        """Return the series of an operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult(Generic[Result]):
    """The result of a call; ``repeated`` if it was stored by an earlier one."""

    result: Result
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    operation: str
    scope: str
    key: str

    def identity(self) -> dict[str, str]:
        return {"operation": self.operation, "scope": self.scope, "key": self.key}

    def lock_number(self) -> int:
        """Return the number of the advisory lock that stands for the claim."""
        name = f"{self.operation}\n{self.scope}\n{self.key}"
        digest = blake2b(name.encode(), digest_size=8, person=b"paidup key")
        return int.from_bytes(digest.digest(), signed=True)


class Idempotent(Generic[Request, Result]):
    """An operation that takes an idempotency key; ``idempotent`` makes it."""

    def __init__(
        self,
        effect: Effect[Request, Result],
        operation: str,
        *,
        describe: Callable[[Any], Any],
        encode: Callable[[Any], Any],
        decode: Callable[[Any], Any],
        kept: timedelta,
    ) -> None:
        self.operation = operation
        self._effect = effect
        self._describe = describe
        self._encode = encode
        self._decode = decode
        self._kept = kept
        update_wrapper(self, effect)

    def __call__(
        self,
        connection: Connection,
        request: Request,
        *,
        key: str | None = None,
        scope: str = "",
        hits: HitCounter | None = None,
    ) -> CallResult[Result]:
        """Carry out the request, or return what an earlier call with the key returned.

        Without a key the effect simply runs. ``scope`` names the client that chose the key; each
        has keys of its own. ``hits`` counts the repeated calls. After an error, roll back.

        Raises:
            InvalidKey: the key is not 1 to 255 visible ASCII characters.
            InFlight: a call with this key is not over yet.
            KeyReused: the key stands for another request.
            NoTransaction: the connection is in autocommit mode.
        """
        if key is None:
            return CallResult(result=self._read(self._run(connection, request)), repeated=False)
        claimed = _Key(operation=self.operation, scope=scope, key=check_key(key))
        fingerprint = _fingerprint(self._describe(request))
        stored = _claim(connection, claimed, fingerprint)
        if stored is not None:
            if hits is not None:
                hits.labels(self.operation).inc()
            return CallResult(result=self._read(stored), repeated=True)
        result = self._run(connection, request)
        _store(connection, claimed, fingerprint, result, self._kept)
        return CallResult(result=self._read(result), repeated=False)

    def _run(self, connection: Connection, request: Request) -> str:
        return _to_json(self._encode(self._effect(connection, request)))

    def _read(self, stored: str) -> Result:
        # The first answer is read back, too, so that it equals those of repeated calls.
        result: Result = self._decode(json.loads(stored))
        return result


def _unchanged(value: Any) -> Any:
    return value


def idempotent(
    operation: str,
    *,
    describe: Callable[[Any], Any] = _unchanged,
    encode: Callable[[Any], Any] = _unchanged,
    decode: Callable[[Any], Any] = _unchanged,
    kept: timedelta = KEPT,
) -> Callable[[Effect[Request, Result]], Idempotent[Request, Result]]:
    """Return a decorator that gives an effect an idempotency key.

    ``describe`` turns the request into JSON values, of which equal requests have equal ones;
    ``encode`` turns the result into JSON values, and ``decode`` turns those into the result again.
    """

    def wrap(effect: Effect[Request, Result]) -> Idempotent[Request, Result]:
        return Idempotent(
            effect, operation, describe=describe, encode=encode, decode=decode, kept=kept
        )

    return wrap


def check_key(key: str) -> str:
    """Return the key if it is one.

    Raises:
        InvalidKey: it is not 1 to 255 visible ASCII characters.
    """
    if not _VALID_KEY.fullmatch(key):
        raise InvalidKey
    return key


def key_in_header(value: str) -> str:
    """Return the key in a header ``Idempotency-Key``, in quotes as the IETF draft has it or bare.

    Raises:
        InvalidKey: it is not 1 to 255 visible ASCII characters.
    """
    bare = value.strip(" \t")
    if quoted := _QUOTED.fullmatch(bare):
        bare = _ESCAPED.sub(r"\1", quoted[1])
    return check_key(bare)


def remove_expired(connection: Connection, *, most: int = MAX_REMOVED) -> int:
    """Remove expired keys, the oldest first, and return how many; run it in its own transaction.

    A call that replaces an expired key waits for the transaction that removes it. So that one must
    wait for nothing: it passes over locked rows, and must be committed at once.
    """
    return connection.execute(_REMOVE, {"most": most}).rowcount


def create_table(connection: Connection) -> None:
    """Create the table, if there is none; Paidup's own database has it by its migration."""
    connection.execute(_CREATE_TABLE)
    connection.execute(_CREATE_INDEX)


def _claim(connection: Connection, claimed: _Key, fingerprint: str) -> str | None:
    """Claim a key until the transaction ends; return the stored result of the same request."""
    lock = connection.execute(_CLAIM, {"number": claimed.lock_number()}).one()
    if not lock.claimed:
        raise InFlight(claimed.operation, claimed.key)
    # A statement of its own: what the former holder committed is visible only now.
    found = connection.execute(_FIND, claimed.identity()).one()
    if found.began != lock.began:
        raise NoTransaction(claimed.operation)
    if found.fingerprint not in {None, fingerprint}:
        raise KeyReused(claimed.operation, claimed.key)
    result: str | None = found.result
    return result


def _store(
    connection: Connection, claimed: _Key, fingerprint: str, result: str, kept: timedelta
) -> None:
    values = {**claimed.identity(), "fingerprint": fingerprint, "result": result, "kept": kept}
    if not connection.execute(_STORE, values).rowcount:
        # The effect called its own operation with its own key.
        raise InFlight(claimed.operation, claimed.key)


def _fingerprint(described: Any) -> str:
    return sha256(_to_json(described, sort_keys=True).encode()).hexdigest()


def _to_json(value: Any, *, sort_keys: bool = False) -> str:
    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False)


# now() is the moment at which the transaction began, so it differs between two statements only if
# each is a transaction of its own.
_CLAIM = text("SELECT pg_try_advisory_xact_lock(:number) AS claimed, now() AS began")
_FIND = text(
    "SELECT now() AS began, stored.fingerprint, stored.result"
    " FROM (VALUES (1)) AS one LEFT JOIN idempotency_keys AS stored"
    " ON operation = :operation AND scope = :scope AND key = :key AND expires_at > now()"
)
_STORE = text(
    "INSERT INTO idempotency_keys (operation, scope, key, fingerprint, result, expires_at)"
    " VALUES (:operation, :scope, :key, :fingerprint, :result, now() + :kept)"
    " ON CONFLICT (operation, scope, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
    " result = excluded.result, created_at = excluded.created_at, expires_at = excluded.expires_at"
    " WHERE idempotency_keys.expires_at <= now()"
)
_REMOVE = text(
    "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM idempotency_keys WHERE expires_at <= now()"
    " ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED))"
)
_CREATE_TABLE = text(
    """
    CREATE TABLE IF NOT EXISTS idempotency_keys (
        operation TEXT NOT NULL,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        result TEXT NOT NULL,
        created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
        expires_at TIMESTAMPTZ NOT NULL,
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (operation, scope, key)
    )
    """
)
_CREATE_INDEX = text(
    "CREATE INDEX IF NOT EXISTS idempotency_keys_expires_at_idx ON idempotency_keys (expires_at)"
)
