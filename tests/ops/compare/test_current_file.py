from pathlib import Path
from typing import Any

import pytest

from ops.compare.current_file import read_file
from ops.errors import CommandFailed


def read(folder: Path, content: str | bytes, *, wide: bool = False) -> list[tuple[Any, ...]]:
    path = folder / "current"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = read_file(str(path), wide=wide)
    return [(row.place, row.user_id, row.feature, row.value) for row in rows]


def test_csv_has_one_feature_a_line_and_other_columns_are_skipped(tmp_path: Path) -> None:
    content = "\ufeffuser_id,feature,name,value\r\n usr_1 ,pro,Ada,t\r\n2,seats,Bo,5\r\n"

    assert read(tmp_path, content) == [(2, "usr_1", "pro", "t"), (3, "2", "seats", "5")]


def test_an_apostrophe_that_guards_a_cell_from_a_spreadsheet_is_no_part_of_it(
    tmp_path: Path,
) -> None:
    content = "user_id,feature,value\n'+49301234,pro,t\n''s,pro,t\n'tis,pro,t\n"

    assert [user for _, user, _, _ in read(tmp_path, content)] == ["+49301234", "'s", "'tis"]


def test_a_wide_file_has_a_column_for_each_feature_and_an_empty_cell_is_none(
    tmp_path: Path,
) -> None:
    content = "user_id,pro,seats\nusr_1,t,\nusr_2,,5\n"

    assert read(tmp_path, content, wide=True) == [
        (2, "usr_1", "pro", "t"),
        (3, "usr_2", "seats", "5"),
    ]


def test_json_lines_keep_the_types_of_their_values(tmp_path: Path) -> None:
    content = (
        '{"user_id": 7, "feature": "pro", "value": true}\n\n'
        '{"user_id": "usr_2", "feature": "seats", "value": 5}\n'
    )

    assert read(tmp_path, content) == [(1, "7", "pro", True), (3, "usr_2", "seats", 5)]
    wide = '\ufeff{"user_id": "usr_1", "pro": true, "seats": null}'
    assert read(tmp_path, wide, wide=True) == [(1, "usr_1", "pro", True)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("user_id,feature\nusr_1,pro\n", "it has no column 'value': name user_id, feature, value"),
        ("user_id,feature,value,value\nusr_1,pro,t,f\n", "it has the column 'value' twice"),
        ("usr_1,pro,t\n", "it has no column 'user_id'"),
        ("", "it has no column 'user_id'"),
        ("user_id,feature,value\n,pro,t\n", "line 2: user_id is empty"),
        ("user_id,feature,value\nusr_1,,t\n", "line 2: feature is empty"),
        ("user_id,feature,value\nusr_1,pro\n", "line 2: it has fewer fields"),
        ("user_id,feature,value\nusr_1,pro,t,x\n", "line 2: it has more fields"),
        ('user_id,feature,value\nusr_1,"pro,t\n', "it is no CSV in UTF-8"),
        (b"user_id,feature,value\nusr_\xff,pro,t\n", "it is no CSV in UTF-8"),
        ('{"user_id": "usr_1"\n', "line 1: it is not JSON"),
        ('{"user_id": "u", "feature": "pro"}\n', "line 1: it has no column 'value'"),
        ('{"user_id": "u", "feature": "pro", "value": [1]}\n', "the value of pro is a list"),
        ('{"user_id": "u", "feature": "pro", "value": 1}\n[]\n', "line 2: it is not a JSON object"),
    ],
)
def test_a_mistake_is_named_with_its_line(content: str | bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="nothing was compared") as refused:
        read(tmp_path, content)

    assert says in str(refused.value)


def test_every_mistake_is_counted_and_the_first_are_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as refused:
        read(tmp_path, "user_id,feature,value\n" + ",pro,t\n" * 25)

    lines = str(refused.value).splitlines()
    assert (len(lines), lines[-1]) == (22, "  and 5 more")


def test_a_wide_file_without_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no column but user_id"):
        read(tmp_path, "user_id\nusr_1\n", wide=True)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file or directory; name a file"):
        next(read_file(str(tmp_path / "absent"), wide=False))
