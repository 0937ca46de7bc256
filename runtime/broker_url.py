"""Say which brokers Paidup was tried with, by the scheme of their URL."""

from typing import Final

from runtime.sentinel_url import scheme_of

RABBITMQ_SCHEMES: Final = ("amqp", "amqps", "pyamqp")
UNTRIED_SCHEMES: Final = ("sqs", "azureservicebus", "gcpubsub", "confluentkafka")
"""What kombu reads as well. Nothing bounds the time for sending a wake-up there."""


def is_rabbitmq_url(url: str) -> bool:
    """Return True if the URL names a RabbitMQ."""
    return scheme_of(url) in RABBITMQ_SCHEMES


def is_untried(url: str) -> bool:
    """Return True if this kind of broker was never tried with Paidup."""
    return scheme_of(url) in UNTRIED_SCHEMES


def doubts_of_broker(url: str) -> tuple[str, ...]:
    """Return what to say about a broker that is accepted."""
    url = url.strip()
    if not is_untried(url):
        return ()
    scheme = scheme_of(url)
    return (f"{scheme}:// was never tried with Paidup; redis:// and amqp:// (RabbitMQ) were",)
