"""Create dj-stripe's tables and the endpoint that Stripe would send to.

Runs in the environment that ``bench/setup`` makes, not in Paidup's.
"""

import os

import django
from django.core.management import call_command


def main() -> None:
    """Migrate, and store the endpoint with its secret."""
    django.setup()
    call_command("migrate", verbosity=0)
    from djstripe.models import WebhookEndpoint  # noqa: PLC0415 - models exist once Django is set up

    WebhookEndpoint.objects.create(
        id="we_bench",
        djstripe_uuid=os.environ["DJSTRIPE_ENDPOINT"],
        enabled_events=["*"],
        livemode=False,
        secret=os.environ["DJSTRIPE_SECRET"],
        status="enabled",
        url="https://bench.example/stripe/",
    )


if __name__ == "__main__":
    main()
