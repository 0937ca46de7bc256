"""Take the idempotency key of a request that writes, and say what is wrong with it.

The statuses are those of the IETF draft ``Idempotency-Key`` and of Stripe's API.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from flask import Request

from ops.console import problems
from ops.console.admission import RequestDeclined
from runtime.idempotency import InFlight, InvalidKey, KeyReused, key_in_header
from runtime.time_limits import RETRY_AFTER_SECONDS

HEADER: Final = "Idempotency-Key"


def required_key(request: Request) -> str:
    """Return the key of the request.

    Raises:
        RequestDeclined: with the status 400; there is none, or it is no key.
    """
    header = request.headers.get(HEADER)
    if header is None:
        raise RequestDeclined(problems.KEY_MISSING, "invalid")
    try:
        return key_in_header(header)
    except InvalidKey as invalid:
        problem = replace(problems.KEY_INVALID, detail=f"The header {HEADER}: {invalid}.")
        raise RequestDeclined(problem, "invalid") from None


@contextmanager
def declining_key() -> Iterator[None]:
    """Decline the request if its key is taken; put the call of an idempotent operation inside.

    Raises:
        RequestDeclined: with the status 409, a call with the key is not over; with 422, the key
            stands for another request.
    """
    try:
        yield
    except InFlight:
        retry = ("Retry-After", str(RETRY_AFTER_SECONDS))
        raise RequestDeclined(problems.KEY_IN_FLIGHT, "invalid", header=retry) from None
    except KeyReused:
        raise RequestDeclined(problems.KEY_REUSED, "invalid") from None
