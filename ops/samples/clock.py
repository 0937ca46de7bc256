"""Spans of time in seconds, as Stripe's timestamps count them."""

DAY = 86_400
MONTH = 30 * DAY
YEAR = 365 * DAY
