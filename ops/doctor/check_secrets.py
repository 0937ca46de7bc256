"""Secrets that cannot be what Stripe shows, and settings that are for development only."""

import re
from collections.abc import Iterator

from ops.console.tokens import VARIABLE, read_tokens
from ops.doctor.findings import Finding, ok, problem, warning
from runtime.settings import Settings, SettingsError

_SECRET = "STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
_KEY = "STRIPE_API_KEY"
_LEAST_SECRET = 24
_LEAST_TOKEN = 16
_PLACEHOLDER = re.compile(
    r"\.\.\.|…|[<>{}$]|x{4}|\*{3}|change.?me|replace.?me|placeholder|your[-_ ]|secret.?here",
    re.IGNORECASE,
)


def check_secrets(settings: Settings) -> Iterator[Finding]:
    """Everything about secrets, keys and tokens; never their values."""
    yield from _webhook_secrets(settings.webhook_secrets)
    yield from _api_key(settings.stripe_api_key)
    yield from _key_of_another_mode(settings)
    yield from _console_tokens(settings.console_tokens)


def check_livemode(settings: Settings) -> Iterator[Finding]:
    """Whether test events could grant what live customers pay for."""
    check = "PAIDUP_LIVEMODE"
    mode = settings.effective_livemode()
    if settings.livemode != "any":
        yield ok(check, f"{mode} events count, the others are settled as ignored")
    elif mode == "live":
        yield warning(check, "any means live here, because the API key is a live one: set it")
    else:
        yield warning(check, "test and live events count alike, for development only: set it")


def _webhook_secrets(secrets: tuple[str, ...]) -> Iterator[Finding]:
    if not secrets:
        yield problem(_SECRET, "is not set: ingest refuses to start without one")
    troubles = [
        problem(_SECRET, f"secret {number} {trouble}")
        for number, secret in enumerate(secrets, 1)
        if (trouble := _trouble(secret))
    ]
    if len(set(secrets)) < len(secrets):
        troubles.append(warning(_SECRET, "the same secret is listed twice: one of them is missing"))
    yield from troubles
    if secrets and not troubles:
        yield ok(_SECRET, "set" if len(secrets) == 1 else f"{len(secrets)} secrets, a roll-over")


def _trouble(secret: str) -> str | None:
    if not secret.isascii() or re.search(r"\s", secret):
        return "has white space or characters that Stripe never uses: copy it again"
    if _PLACEHOLDER.search(secret):
        return "is a placeholder: take the endpoint's own from Stripe's dashboard"
    if secret.startswith(("sk_", "rk_", "pk_")):
        return "is an API key: take the endpoint's signing secret (whsec_...)"
    if len(secret) < _LEAST_SECRET:
        return f"is shorter than {_LEAST_SECRET} characters, as none of Stripe's is: copy it again"
    return None


def _key_of_another_mode(settings: Settings) -> Iterator[Finding]:
    """A key that Stripe takes for none of the events that count here."""
    mode = settings.effective_livemode()
    if settings.stripe_api_key is None or mode == "any":
        return
    if not settings.may_fetch(livemode=mode == "live"):
        yield problem(_KEY, f"is a key of the other mode: nothing of {mode} events can be fetched")


def _api_key(key: str | None) -> Iterator[Finding]:
    if key is None:
        says = (
            "is not set: events that Redis loses cannot be fetched from Stripe,"
            " and thin events are settled as ignored"
        )
        yield warning(_KEY, says)
    elif re.search(r"\s", key) or _PLACEHOLDER.search(key) or not key.startswith(("sk_", "rk_")):
        yield problem(_KEY, "is no secret or restricted key (sk_... or rk_...)")
    else:
        yield ok(_KEY, "set: thin events are fetched, and what Redis loses can be for 30 days")


def _console_tokens(entries: tuple[str, ...]) -> Iterator[Finding]:
    try:
        tokens = read_tokens(entries)
    except SettingsError as error:
        yield from (
            problem(VARIABLE, f"{said}: the console will not start") for said in error.problems
        )
        return
    if not tokens:
        yield warning(
            VARIABLE, "is not set: nobody may read over HTTP; `paidup console token NAME`"
        )
    plain = [n for n, token in enumerate(tokens, 1) if token.plain]
    for number in plain:
        if len(entries[number - 1]) < _LEAST_TOKEN or _PLACEHOLDER.search(entries[number - 1]):
            says = f"token {number} can be guessed: draw one with `paidup console token NAME`"
            yield problem(VARIABLE, says)
    if plain:
        says = "gives tokens away: `paidup console token NAME` prints a hash to put there instead"
        yield warning(VARIABLE, says)
    elif tokens:
        yield ok(VARIABLE, f"{len(tokens)} of which it holds hashes only")
