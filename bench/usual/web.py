"""The endpoint that most people write: construct the event, send a task, answer OK."""

import json
import os

import stripe
from flask import Flask, request

from bench.usual.tasks import process_event

app = Flask(__name__)


@app.post("/webhooks/stripe")
def webhook() -> tuple[str, int]:
    """Receive a webhook as Stripe's documentation shows, with a queue behind it."""
    payload = request.get_data()
    signature = request.headers.get("Stripe-Signature")
    try:
        stripe.Webhook.construct_event(payload, signature, os.environ["USUAL_SECRET"])
    except (ValueError, stripe.SignatureVerificationError):
        return "invalid", 400
    process_event.delay(json.loads(payload))
    return "", 200
