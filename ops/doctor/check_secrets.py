"""Check for secrets that cannot be Stripe's, and for settings meant for development only.

A stack of ``paidup up`` whose signing secret ``up`` made itself takes no event that Stripe sends.
What is open there for development cannot do harm, and is no warning. Once the operator sets a
secret, everything is judged as in production.
"""

import re
from collections.abc import Iterator

from ops.console_tokens import VARIABLE, Role, read_tokens
from ops.doctor.findings import Finding, ok, problem, warning
from ops.terminal.formats import format_count
from ops.up.up_file import UpFile
from runtime.settings import Settings, SettingsError
from runtime.signing_secrets import is_placeholder, weak_secrets

_SECRET = "STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
_KEY = "STRIPE_API_KEY"
_MIN_TOKEN = 16


def check_secrets(settings: Settings, up: UpFile | None = None) -> Iterator[Finding]:
    """Check secrets, keys and tokens; findings never contain their values.

    ``up`` is the running stack whose settings these are.
    """
    if _takes_only_ours(settings, up):
        says = "made by `paidup up`: Stripe does not know it, only `paidup send` signs with it"
        yield ok(_SECRET, says)
    else:
        yield from _webhook_secrets(settings)
    yield _api_key(settings, up)
    yield from _console_tokens(settings.console_tokens)


def check_livemode(settings: Settings, up: UpFile | None = None) -> Iterator[Finding]:
    """Check whether test events could grant paid access."""
    check = "PAIDUP_LIVEMODE"
    mode = settings.effective_livemode()
    if settings.livemode != "any":
        yield ok(check, f"{mode} events are applied, others are settled as ignored")
    elif mode == "live":
        yield warning(check, "not set; live, because the API key is a live one: set it to live")
    elif _takes_only_ours(settings, up):
        yield ok(check, "test and live events are both applied, and none of them is Stripe's")
    else:
        says = "test and live events are both applied, which is for development only: set it"
        yield warning(check, f"{says} to live, or to test")


def _takes_only_ours(settings: Settings, up: UpFile | None) -> bool:
    return up is not None and up.takes_only_ours(settings.webhook_secrets)


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


def _api_key(settings: Settings, up: UpFile | None) -> Finding:
    key, mode = settings.stripe_api_key, settings.effective_livemode()
    if key is None and up and up.fetches:
        return ok(_KEY, "set where `paidup up` runs; thin events are fetched")
    if key is None and _takes_only_ours(settings, up):
        return ok(_KEY, "is not set, and no event of this stack is Stripe's to be fetched")
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
        writers = [token.name for token in tokens if token.role.may_act_as(Role.OPERATOR)]
        may_write = f"; may write: {', '.join(writers)}" if writers else ""
        yield ok(
            VARIABLE, f"{format_count(len(tokens), 'token')}, stored as hashes only{may_write}"
        )
