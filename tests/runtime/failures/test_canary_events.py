"""The built-in events themselves; no server is needed to look at them."""

import pytest

from billing.envelope import parse
from billing.readers.search_terms import terms_in
from runtime.failures.canary import built_in_events


@pytest.mark.parametrize("body", [*built_in_events()])
def test_each_built_in_event_has_search_terms_of_every_kind(body: bytes) -> None:
    assert {term.kind for term in terms_in(parse(body))} == {"email", "metadata", "name"}
