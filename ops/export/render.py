"""What became of the events of a file, or would, for people and for programs."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ops.export.import_file import Cargo, Carried
from ops.replay.render import counts_document, events_document, needs_a_word, print_told, words
from ops.replay.requeue import Entrance
from ops.replay.run import DONE, Fate, Replay, Told
from ops.terminal.output import Json, say
from runtime.ledger.deliveries import REPLAY, Delivery
from runtime.ledger.prepare import Scope, enter

MOST_TOLD: Final = 1000
"""Events of which there is more to say are kept up to here; all are counted."""

_EXPECTED: Final = DONE - {Fate.LEFT_OUT}
"""What becomes of most events of any file: there it was superseded or ignored, too."""

_FATES: Final = {
    Entrance.KNOWN: Fate.KNOWN,
    Entrance.LEFT_OUT: Fate.LEFT_OUT,
    Entrance.REFUSED: Fate.FAILED,
}


@dataclass(slots=True)
class Imported:
    """What became of all of them so far."""

    counts: Counter[Fate] = field(default_factory=Counter)
    readmitted: int = 0
    interrupted: bool = False
    told: dict[str, Told] = field(default_factory=dict)
    """The first of those of which there is more to say."""

    def take(self, replay: Replay) -> None:
        """Take in some more of them, all done."""
        self.counts.update(replay.counts())
        self.readmitted += replay.readmitted
        self.interrupted = replay.interrupted
        for each in replay.told.values():
            if len(self.told) < MOST_TOLD and each.fate not in _EXPECTED:
                self.told[each.key] = each


@dataclass(slots=True)
class Foretold:
    """What would become of them as far as can be told of each by itself."""

    counts: Counter[Fate] = field(default_factory=Counter)
    told: dict[str, Told] = field(default_factory=dict)

    def take(self, carried: Carried, refused: tuple[Entrance, str] | None, scope: Scope) -> None:
        """Look at one more."""
        fate, says = _foretell(carried, refused, scope)
        self.counts[fate] += 1
        told = Told(key=carried.key, fate=fate, says=says)
        if len(self.told) < MOST_TOLD and needs_a_word(told):
            self.told[told.key] = told


def _foretell(
    carried: Carried, refused: tuple[Entrance, str] | None, scope: Scope
) -> tuple[Fate, str]:
    if refused:
        return _FATES[refused[0]], refused[1]
    delivery = Delivery(
        envelope=carried.envelope,
        received_at=carried.received_at,
        attempts=1,
        origin=REPLAY,
        key=carried.key,
    )
    (entering,) = enter([delivery], scope)
    if entering.unreadable:
        return Fate.FAILED, str(entering.unreadable)
    return (Fate.IGNORED, entering.ignored) if entering.ignored else (Fate.LET_IN, "")


def imported_document(load: Cargo, imported: Imported) -> Json:
    """What became of them, as JSON values."""
    return {
        "file": load.name,
        "sha256": load.digest,
        "asked": load.events,
        "readmitted": imported.readmitted,
        "interrupted": imported.interrupted,
        "counts": counts_document(imported.counts),
        "events": events_document(imported.told),
    }


def foretold_document(load: Cargo, foretold: Foretold) -> Json:
    """What would become of them, as JSON values."""
    return {
        "dry_run": True,
        "file": load.name,
        "sha256": load.digest,
        "asked": load.events,
        "counts": counts_document(foretold.counts),
        "events": events_document(foretold.told),
    }


def print_imported(load: Cargo, imported: Imported) -> None:
    """Those that need a word, and how many there were of each kind."""
    print_told(imported.told, of=load.events)
    say(f"{_of(load)}: {words(imported.counts)}", style="bold")
    if imported.interrupted:
        untouched = imported.counts[Fate.UNTOUCHED]
        say(
            f"interrupted: {imported.readmitted} were let in and are settled without this command,"
            f" {untouched} are untouched; the same command does what is left"
        )


def print_foretold(load: Cargo, foretold: Foretold) -> None:
    """The same of what would be."""
    print_told(foretold.told, of=load.events)
    say(f"dry run, nothing was changed. {_of(load)}: {words(foretold.counts)}", style="bold")


def _of(load: Cargo) -> str:
    return f"{load.events} {'event' if load.events == 1 else 'events'} of {load.name}"
