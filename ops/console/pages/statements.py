"""Make the statements that a person asks for with a form, or only try them out.

form -try_out-> what would follow, rolled back        form -state-> what followed, recorded
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from ops.console.pages.frame import PageUnavailable
from ops.errors import CommandFailed
from ops.statements.deployment import grants_of, links_of
from ops.statements.grants import GrantResult, NoSuchStatement
from ops.statements.links import LinkResult
from runtime.failures.classify import Permanent, classify
from runtime.idempotency import CallResult, HitCounter, IdempotencyError, InFlight
from runtime.ledger.errors import CatalogueMissing, LedgerError, StatementRefused
from runtime.ledger.record import Ledger
from runtime.settings import Settings

Result = TypeVar("Result", GrantResult, LinkResult)
Work = Callable[[Connection], CallResult[Result]]

_OPTION: Final = re.compile(
    r"(?:give )?--(plan|feature|for|until|forever|new-user|new-feature)(?![\w-])"
)
_LABELS: Final[Mapping[str, str]] = {
    "plan": "“Plan”",
    "feature": "“Features”",
    "for": "“How long”",
    "until": "“How long”",
    "forever": "`for good`",
    "new-user": "tick “A new user”",
    "new-feature": "tick “A feature of no plan”",
}


class FormRefused(Exception):
    """The form asks for what is not possible; the text says what to do, and nothing was done."""

    def __init__(self, says: str) -> None:
        self.says = says
        super().__init__(says)


class NotRecorded(ServiceUnavailable):
    """PostgreSQL did not record it in time; the same form may be sent again."""

    description = (
        "PostgreSQL did not answer in time. Go back and send the form again: it carries a key, so"
        " what it asks for is done once, even if this attempt did arrive."
    )
    retry_after = 5


class PageStatements:
    """Grants and links of a deployment, as pages make them; used by all threads."""

    def __init__(
        self, settings: Settings, ledger: Ledger, *, hits: HitCounter | None = None
    ) -> None:
        self._ledger = ledger
        self.grants = grants_of(settings, ledger, hits=hits)
        self.links = links_of(settings, ledger, hits=hits)

    def try_out(self, work: Work[Result]) -> CallResult[Result]:
        """Return what a statement would do, and do nothing.

        Raises:
            FormRefused: it is not possible.
            NotRecorded: PostgreSQL did not answer in time.
        """
        return _as_form(lambda: self._ledger.try_out(work))

    def state(self, work: Work[Result]) -> CallResult[Result]:
        """Make a statement and return what it did.

        Raises:
            FormRefused: it is not possible.
            NotRecorded: PostgreSQL did not answer in time.
        """
        return _as_form(lambda: self._ledger.transact(work))


def in_labels(says: str) -> str:
    """Return a sentence about options of a command as one about fields of a form."""
    return _OPTION.sub(lambda option: _LABELS[option[1]], says)


def _as_form(call: Callable[[], CallResult[Result]]) -> CallResult[Result]:
    try:
        return call()
    except NoSuchStatement as error:
        raise FormRefused(f"{error.says}; nothing was recorded") from error
    except (CommandFailed, StatementRefused) as error:
        raise FormRefused(in_labels(str(error))) from error
    except InFlight as error:
        raise FormRefused(_IN_FLIGHT) from error
    except IdempotencyError as error:
        raise FormRefused(_OTHER_KEY) from error
    except CatalogueMissing as error:
        raise PageUnavailable(error) from error
    except LedgerError as error:
        raise NotRecorded from error
    except SQLAlchemyError as error:
        if isinstance(classify(error), Permanent):
            raise FormRefused(_NO_SUCH_VALUE) from error
        raise NotRecorded from error


_IN_FLIGHT: Final = "the same form was sent a moment ago and is being worked on; send it once more"
_OTHER_KEY: Final = (
    "this form was used for another request before, or its key is none; nothing was recorded this"
    " time: check what it says and send it again"
)
_NO_SUCH_VALUE: Final = "the database takes no such value; nothing was recorded"
