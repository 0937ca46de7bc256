"""The limit of ingest: the same framework and server, one write to Redis, and nothing else."""

import os

import redis
from flask import Flask, Response, request

app = Flask(__name__)
client = redis.Redis.from_url(os.environ["LIMIT_REDIS_URL"])


@app.post("/webhooks/stripe")
def webhook() -> Response:
    """Push the raw body and answer, unverified and unparsed."""
    client.lpush("limit", request.get_data(cache=False))
    return Response('{"status": "accepted"}', 202, mimetype="application/json")
