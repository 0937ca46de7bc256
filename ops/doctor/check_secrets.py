"""Check for secrets that cannot be Stripe's, and for settings meant for development only."""

import re
from collections.abc import Iterator

from ops.console.tokens import VARIABLE, read_tokens
from ops.doctor.findings import Finding, ok, problem, warning
from ops.terminal.formats import format_count
from runtime.settings import Settings, SettingsError
from runtime.signing_secrets import is_placeholder, weak_secrets

_SECRET = "STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
_KEY = "STRIPE_API_KEY"
_MIN_TOKEN = 16


def check_secrets(settings: Settings) -> Iterator[Finding]:
    """Check secrets, keys and tokens; findings never contain their values."""
    yield from _webhook_secrets(settings)
    yield _api_key(settings)
    yield from _console_tokens(settings.console_tokens)


def check_livemode(settings: Settings) -> Iterator[Finding]:
    """Check whether test events could grant paid access."""
    check = "PAIDUP_LIVEMODE"
    mode = settings.effective_livemode()
    if settings.livemode != "any":
        yield ok(check, f"{mode} events are applied, others are settled as ignored")
    elif mode == "live":
        yield warning(check, "not set; live, because the API key is a live one: set it to live")
    else:
        says = "test and live events are both applied, which is for development only: set it"
        yield warning(check, f"{says} to live")


def _webhook_secrets(settings: Settings) -> Iterator[Finding]:
    secrets = settings.webhook_secrets
    if not secrets:
        yield problem(_SECRET, "is not set and ingest does not start without it: set it")
    weak = weak_secrets(secrets)
    named = (doubt.partition(": ") for doubt in settings.doubts)
    doubts = [says for name, _, says in named if name == _SECRET and says not in weak]
    yield from (problem(_SECRET, says) for says in weak)
    yield from (warning(_SECRET, says) for says in doubts)
    if secrets and not weak and not doubts:
        yield ok(
            _SECRET, "set" if len(secrets) == 1 else f"{len(secrets)} secrets, for a roll-over"
        )


def _api_key(settings: Settings) -> Finding:
    key, mode = settings.stripe_api_key, settings.effective_livemode()
    if key is None:
        says = "is not set: set it to fetch thin events, which are settled as ignored now"
        return warning(_KEY, says)
    if re.search(r"\s", key) or is_placeholder(key) or not key.startswith(("sk_", "rk_")):
        return problem(_KEY, "is not an API key: set a secret or restricted one (sk_... or rk_...)")
    if mode != "any" and not settings.may_fetch(livemode=mode == "live"):
        says = f"belongs to the other mode: set a {mode} key to fetch {mode} events"
        return problem(_KEY, says)
    return ok(_KEY, "set; thin events are fetched")


def _console_tokens(entries: tuple[str, ...]) -> Iterator[Finding]:
    try:
        tokens = read_tokens(entries)
    except SettingsError as error:
        yield from (
            problem(VARIABLE, f"{said}: correct it, or the console does not start")
            for said in error.problems
        )
        return
    if not tokens:
        yield warning(
            VARIABLE, "is not set, so every read is refused: run `paidup console token NAME`"
        )
    plain = [n for n, token in enumerate(tokens, 1) if token.plain]
    for number in plain:
        if len(entries[number - 1]) < _MIN_TOKEN or is_placeholder(entries[number - 1]):
            says = f"token {number} can be guessed: replace it with `paidup console token NAME`"
            yield problem(VARIABLE, says)
    if plain:
        says = "contains plain tokens: store the hash that `paidup console token NAME` prints"
        yield warning(VARIABLE, says)
    elif tokens:
        yield ok(VARIABLE, f"{format_count(len(tokens), 'token')}, stored as hashes only")
