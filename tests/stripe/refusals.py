"""The errors with which Stripe refuses a request, in its own words where those were published."""

from typing import Any


class StripeRefusal(Exception):
    """An answer that is no success; ``error`` is what its body contains."""

    def __init__(self, status: int, message: str, **error: Any) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.error = {"message": message, "type": "invalid_request_error", **error}
        super().__init__(message)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.error}


def missing(family: str, stripe_id: str, param: str = "id") -> StripeRefusal:
    """Return the answer about an object that does not exist."""
    status = 404 if param == "id" else 400
    text = f"No such {family}: '{stripe_id}'"
    return StripeRefusal(status, text, code="resource_missing", param=param)


def unknown_parameter(name: str) -> StripeRefusal:
    text = f"Received unknown parameter: {name}"
    return StripeRefusal(400, text, code="parameter_unknown", param=name)


def missing_parameter(name: str) -> StripeRefusal:
    text = f"Missing required param: {name}."
    return StripeRefusal(400, text, code="parameter_missing", param=name)


def bad_parameter(name: str, text: str, code: str = "parameter_invalid") -> StripeRefusal:
    return StripeRefusal(400, text, code=code, param=name)


def unknown_url(method: str, path: str) -> StripeRefusal:
    text = f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs."
    return StripeRefusal(404, text)
