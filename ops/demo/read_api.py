"""Ask the read API for a user's entitlements, as an application would."""

from http.client import HTTPException
from time import perf_counter
from urllib.parse import quote

from ops.send.delivery import UNREACHABLE, EndpointResponse
from ops.send.endpoint import Endpoint


def request_entitlements(console_url: str, token: str, user_id: str) -> EndpointResponse:
    """Return the console's response about a user; an unreachable server is a response, too."""
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
    return EndpointResponse(status=status, body=body, seconds=perf_counter() - begun)
