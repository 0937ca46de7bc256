"""Point `celery inspect`, `celery status` and Flower at Paidup's workers.

Paidup puts a prefix before every key and channel of Celery in Redis. A tool without it uses other
channels, and no worker answers. See "Celery's own tools" in docs/operations.md, for sentinels too.
"""

broker_transport_options = {"global_keyprefix": "paidup:q:"}
