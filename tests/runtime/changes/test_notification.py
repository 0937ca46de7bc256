import json

import pytest

from runtime.changes.notification import MAX_BYTES, payload_of


def test_the_users_are_named_with_their_versions() -> None:
    payload = payload_of(cursor=7, changes=2, epoch="e", users={"usr_1": 3, "Zo\u00eb": 1})

    assert json.loads(payload) == {
        "cursor": 7,
        "changes": 2,
        "epoch": "e",
        "users": {"usr_1": 3, "Zo\u00eb": 1},
    }


@pytest.mark.parametrize("letter", ["x", "\u00eb", "\U0001f600"])
def test_a_payload_names_the_users_as_long_as_they_fit(letter: str) -> None:
    empty = len(payload_of(cursor=1, changes=1, epoch="e", users={"": 1}).encode())
    room = (MAX_BYTES - empty) // len(letter.encode())

    fits, too_long = (
        payload_of(cursor=1, changes=1, epoch="e", users={letter * count: 1})
        for count in (room, room + 1)
    )

    assert json.loads(fits)["users"] == {letter * room: 1}
    assert len(fits.encode()) <= MAX_BYTES
    assert json.loads(too_long) == {"cursor": 1, "changes": 1, "epoch": "e", "users": None}
