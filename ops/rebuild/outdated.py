"""Run ``paidup rebuild --outdated``: read again what readers of an earlier release read."""

from ops import connections
from ops.terminal.formats import format_count
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import print_json, print_text
from ops.terminal.progress import progress
from runtime.ledger.maintenance.outdated import OutdatedFacts, count_outdated
from runtime.ledger.prepare import Scope
from runtime.settings import Settings


def read_outdated(settings: Settings, *, as_json: bool) -> int:
    """Read until nothing is left, or until it is interrupted. Return the exit code."""
    scope = Scope.of(settings)
    done, interruption = 0, Interruption()
    with connections.open_database(settings, application="rebuild") as engine:
        with engine.connect() as connection:
            waiting = count_outdated(connection)
        outdated = OutdatedFacts(engine=engine, scope=scope)
        with progress("reading again", waiting.parties + waiting.events) as report:
            try:
                while read := outdated.read_next():
                    done += read
                    report(done)
                    interruption.pause(0.0)
            except Interrupted:
                pass
        with engine.connect() as connection:
            left = count_outdated(connection)
    if as_json:
        print_json({"read": done, "left": {"parties": left.parties, "events": left.events}})
    else:
        rest = format_count(left.parties + left.events, "is left", "are left")
        print_text(f"{format_count(done, 'party or event', 'parties and events')} read; {rest}")
    return 0 if not left.parties + left.events else 1
