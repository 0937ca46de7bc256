"""A file of customers and users is read whole, or each mistake is named by its line."""

from pathlib import Path

import pytest

from ops.backfill import users_file
from ops.backfill.users_file import MappedUser, read_users
from ops.errors import CommandFailed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "map.csv"


def test_each_line_maps_a_customer_to_a_user(path: Path) -> None:
    path.write_text("\ufeff User , CUSTOMER\r\nusr 1,cus_1 \r\n", encoding="utf-8")

    assert read_users(path) == (MappedUser(line=2, customer="cus_1", user_id="usr 1"),)


def test_every_mistake_is_named_by_its_line(path: Path) -> None:
    lines = ("cus_1,usr_1", "sub_1,usr_1", "cus_2,", "cus_3,cus_9", "cus_4,a,b", "cus_1,usr_2", ",")
    path.write_text("\n".join(("customer,user", *lines)))

    with pytest.raises(CommandFailed) as error:
        read_users(path)

    said = str(error.value).splitlines()
    assert said[0] == f"nothing was read or linked; mistakes in {path}:"
    assert [line.partition(":")[0] for line in said[1:]] == [
        *("line 3", "line 4", "line 5", "line 6", "line 8", "line 7")
    ]
    assert "is in line 2, too" in said[-1]


def test_only_the_first_mistakes_are_shown(path: Path) -> None:
    path.write_text("\n".join(("customer,user", *["no,usr_1"] * 25)))

    with pytest.raises(CommandFailed, match=r"\nand 5 more$"):
        read_users(path)


@pytest.mark.parametrize("header", ["", "customer;user", "customer,user,user", "user"])
def test_other_columns_are_refused(path: Path, header: str) -> None:
    path.write_text(f"{header}\ncus_1,usr_1\n")

    with pytest.raises(CommandFailed, match=r"the first line of the file is customer,user, not"):
        read_users(path)


def test_a_file_without_lines_is_refused(path: Path) -> None:
    path.write_text("customer,user\n")

    with pytest.raises(CommandFailed, match="has no lines"):
        read_users(path)


def test_a_file_in_another_encoding_is_refused(path: Path) -> None:
    path.write_bytes(b"customer,user\ncus_1,\xff\n")

    with pytest.raises(CommandFailed, match="no CSV file in UTF-8"):
        read_users(path)


def test_a_file_that_is_too_large_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_file, "MAX_FILE_BYTES", 10)
    path.write_text("customer,user\ncus_1,usr_1\n")

    with pytest.raises(CommandFailed, match="larger than 10 bytes"):
        read_users(path)
