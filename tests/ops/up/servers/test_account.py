import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.up.servers import account
from ops.up.servers.account import ServerAccount, closed_folder, make_own_folder, require_reach
from ops.up.servers.errors import FolderClosed
from ops.up.servers.secret_file import kept_secret, write_private

STRANGER = ServerAccount(name="nobody", uid=54_321, gid=54_321)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can reach, unlike pytest's own."""
    folder = account.temporary_folder()
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_others_may_pass_is_no_obstacle(open_folder: Path) -> None:
    assert closed_folder(open_folder, STRANGER) is None


def test_the_topmost_closed_folder_is_named(open_folder: Path) -> None:
    closed = open_folder / "closed"
    (closed / "deep").mkdir(parents=True)
    closed.chmod(0o700)

    assert closed_folder(closed / "deep" / "file", STRANGER) == closed


def test_a_closed_folder_behind_a_link_is_found(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    link = open_folder / "link"
    link.symlink_to(closed)

    assert closed_folder(link / "file", STRANGER) is not None


def test_owner_and_group_are_judged_by_their_own_bits(open_folder: Path) -> None:
    folder = open_folder / "owned"
    folder.mkdir()
    folder.chmod(0o710)
    status = folder.stat()
    owner = ServerAccount(name="owner", uid=status.st_uid, gid=1)
    member = ServerAccount(name="member", uid=54_321, gid=status.st_gid)

    assert closed_folder(folder, owner) is None
    assert closed_folder(folder, member) is None
    assert closed_folder(folder, STRANGER) == folder


def test_the_sentence_names_account_folder_and_remedy(open_folder: Path) -> None:
    open_folder.chmod(0o700)

    with pytest.raises(FolderClosed, match=f"nobody cannot enter {open_folder}: move it"):
        require_reach(open_folder, STRANGER, remedy="move it")


def test_without_a_change_of_account_every_folder_is_in_reach(open_folder: Path) -> None:
    open_folder.chmod(0o700)

    require_reach(open_folder, None, remedy="")


def test_as_root_postgres_runs_unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    found = account.server_account()

    assert found
    assert found.name == "nobody"
    assert found.uid != 0


def test_as_another_user_it_runs_as_that_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert account.server_account() is None


def test_a_system_without_the_account_gets_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> object:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", unknown)

    assert account.server_account() == ServerAccount(name="nobody", uid=65_534, gid=65_534)


def test_a_new_folder_of_ours_can_be_passed_and_not_listed(tmp_path: Path) -> None:
    assert mode(make_own_folder(tmp_path / "new")) == 0o711


def test_an_empty_folder_becomes_ours(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    assert mode(make_own_folder(tmp_path)) == 0o711


def test_a_folder_with_other_things_in_it_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    tmp_path.chmod(0o700)

    make_own_folder(tmp_path)

    assert mode(tmp_path) == 0o700


def test_a_kept_secret_is_drawn_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    first = kept_secret(path)

    assert first == kept_secret(path)
    assert len(first) >= 24
    assert mode(path) == 0o600


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old and longer")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
