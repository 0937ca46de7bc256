"""The e-mail addresses of sample users."""

import re


def email_of(user_id: str) -> str:
    """Return the e-mail address of a user's customer, in the domain that is reserved for it."""
    return f"{re.sub(r'[^a-z0-9._-]', '-', user_id.lower())}@example.com"
