"""Asks the read API what a user may do, as an application would."""

from http.client import HTTPException
from time import perf_counter
from urllib.parse import quote

from ops.send.delivery import UNREACHABLE, Answer
from ops.send.endpoint import Endpoint


def ask(console_url: str, token: str, user_id: str) -> Answer:
    """What the console says of a user; never raises for a server that is away."""
    endpoint = Endpoint.at(f"{console_url}/v1/users/{quote(user_id, safe='')}/entitlements")
    connection, begun = endpoint.connect(), perf_counter()
    try:
        connection.request("GET", endpoint.path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        status, body = response.status, response.read()
    except (HTTPException, OSError) as error:
        status, body = UNREACHABLE, str(error).encode()
    finally:
        connection.close()
    return Answer(status=status, body=body, seconds=perf_counter() - begun)
