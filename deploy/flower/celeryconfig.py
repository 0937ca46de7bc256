"""Point `celery inspect`, `celery status` and Flower at Paidup's workers.

Paidup puts a prefix before every key and channel of Celery in Redis, and remote control has a name
of its own on every broker. A tool without them uses other channels, and no worker answers. See
"Celery's own tools" in docs/operations.md, for sentinels and RabbitMQ too.
"""

control_exchange = "paidup"

broker_transport_options = {"global_keyprefix": "paidup:q:"}
