"""Rows in and out of CSV, TSV and JSONL."""

from __future__ import annotations

import csv
import json
import os
import stat
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.tables import TableFormat, encode_header, encode_row, open_writer, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Path]

CHINESE = "我买的商品还没有收到，请问什么时候可以退款？"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function that writes a file and gives its path."""

    def write(data: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def rows_of(path: Path, encoding: str | None = None) -> list[dict[str, object]]:
    """The cells of all rows."""
    return [dict(row.cells) for row in read_rows(path, encoding=encoding)]


def refusal(path: Path, encoding: str | None = None) -> InputError:
    """The error that reading this file ends with: one line that names it."""
    with pytest.raises(InputError) as caught:
        rows_of(path, encoding)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return caught.value


# -- CSV -----------------------------------------------------------------------------------------


def test_the_columns_are_known_before_the_first_row(make: Make) -> None:
    """A header without rows is a table of no rows whose columns can be asked for."""
    table = read_rows(make("id, content \n"))
    assert table.columns == ("id", "content")
    assert list(table) == []


def test_a_table_can_be_read_again(make: Make) -> None:
    """Each iteration begins at the first row."""
    table = read_rows(make("a,b\n1,2\n3,4\n"))
    assert list(table) == list(table)
    assert len(list(table)) == 2


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        pytest.param('a,b\n1,"x\ny"\n', "x\ny", id="line feed"),
        pytest.param('a,b\r\n1,"x\r\ny"\r\n', "x\r\ny", id="carriage return and line feed"),
        pytest.param('a,b\n1,"x\ry"\n', "x\ry", id="lone carriage return"),
        pytest.param('a,b\n1,"say ""hi"""\n', 'say "hi"', id="quotes"),
        pytest.param('a,b\n1,5" pipe\n', '5" pipe', id="quote inside an unquoted cell"),
        pytest.param("a,b\n1,x\0y\n", "x\0y", id="NUL"),
        pytest.param("a;b\n1;x,y\n", "x,y", id="semicolons"),
        pytest.param("a\tb\n1\tx,y\n", "x,y", id="tabs"),
        pytest.param('"a";"b"\n1;"x;y"\n', "x;y", id="quoted header"),
        pytest.param("a,b\r1,x\r", "x", id="old Macintosh line ends"),
        pytest.param("\n\n  \na,b\n\n1,x\n \t\n", "x", id="blank lines"),
        pytest.param("a,b\n1,退款\n", "退款", id="Chinese"),
    ],
)
def test_cells_are_read_as_they_stand(make: Make, text: str, cells: str) -> None:
    """Line ends, quotes and delimiters inside cells survive."""
    assert rows_of(make(text)) == [{"a": "1", "b": cells}]


def test_rows_name_the_line_they_begin_on(make: Make) -> None:
    """Line ends inside cells and blank lines count."""
    table = read_rows(make('a,b\n1,"x\n\ny"\n\n2,z\n'))
    assert [row.line for row in table] == [2, 6]


def test_tsv_is_split_at_tabs_alone(make: Make) -> None:
    """The suffix says so, whatever the header holds."""
    assert rows_of(make("a,x\tb\n1\t2\n", "t.tsv")) == [{"a,x": "1", "b": "2"}]


def test_wide_tables_and_large_cells_are_read(make: Make) -> None:
    """10,000 columns and cells of 2 MB are no limit, and the limit of the csv module is as before."""
    before = csv.field_size_limit()
    wide = make(",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join("x" * 10_000) + "\n")
    assert len(rows_of(wide)[0]) == 10_000
    large = "退款" * 350_000
    assert rows_of(make(f'a,b\n1,"{large}"\n')) == [{"a": "1", "b": large}]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param('a,b\n1,x\n2,"oops\n3,y\n', 3, "never closed", id="quote never closed"),
        pytest.param('a,b,c\n1,"x\ny","oops\n3,y,z\n', 3, "never closed", id="the second quote of a row never closed"),
        pytest.param('a,b\n1,"abc\n2,"def"\n', 2, "line 3", id="quote closed by the next row"),
        pytest.param('a,b\n1,"x"y,"z\n', 2, "closing quote", id="text behind a quote"),
        pytest.param("a,b\n1,x\n2,y,z\n", 3, "3 cells", id="too many cells"),
        pytest.param("a,b\n1,x\ny\n", 3, "1 cell ", id="one cell"),
        pytest.param("a,b,c\n1,x\ny,z\n", 3, "2 cells", id="a row split by a line end"),
        pytest.param("a,b,c,d\n1,x\nx,x\ny,z\n", 4, "2 cells", id="a row split twice"),
        pytest.param("a,b,c\n1,x,y\n2,x", 3, "breaks off", id="cut in the last row"),
        pytest.param("a,b,a\n", 1, "'a' stands twice", id="a name twice"),
        pytest.param("a,,,b\n", 1, "no name", id="two columns without a name"),
        pytest.param("\n,,\n", 2, "names no column", id="no names"),
    ],
)
def test_damage_is_an_error_with_its_line(make: Make, text: str, line: int, words: str) -> None:
    """No row is lost or emptied in silence."""
    error = refusal(make(text))
    assert error.line == line
    assert words in error.problem
    assert error.remedy


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a,b,c\n1,2\n3,4,\n", id="a short row"),
        pytest.param("a,b,c,d\n1,2,\n3,4,\n", id="short rows that no split can make"),
        pytest.param("a,b,\n1,2,,\n3,4\n", id="empty cells behind the header"),
    ],
)
def test_missing_cells_are_empty_where_nothing_can_be_lost(make: Make, text: str) -> None:
    """Some programs leave empty cells at the end of a row out."""
    found = [row["a"] for row in rows_of(make(text))]
    assert found == ["1", "3"]


def test_rows_before_the_damage_are_given(make: Make) -> None:
    """The error comes where the damage is, not before."""
    rows = iter(read_rows(make("a,b\n1,x\n2,x,y\n")))
    assert next(rows).cells == {"a": "1", "b": "x"}
    with pytest.raises(InputError, match="3 cells"):
        next(rows)


# -- JSONL ---------------------------------------------------------------------------------------


def test_json_lines_keep_their_values(make: Make) -> None:
    """Numbers, null, nesting and half a surrogate pair arrive; blank lines do not count as rows; all keys are columns."""
    table = read_rows(make('{"a": 1, "b": null}\n\r\n{"c": [true, {"d": "\\ud800"}], "a": "退款\\u2028"}\r\n', "t.ndjson"))
    assert table.columns == ("a", "b", "c")
    assert [(row.line, row.cells) for row in table] == [
        (1, {"a": 1, "b": None}),
        (3, {"c": [True, {"d": "\ud800"}], "a": "退款\u2028"}),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param('{"a": 1}\n{"a": 1\n', 2, "not JSON", id="broken"),
        pytest.param('{"a": 1}\n[{"a": 1}]\n', 2, "one object a line", id="array on a line"),
        pytest.param('[\n{"a": 1}\n]', 1, "jq", id="array over lines"),
        pytest.param('{\n"a": 1\n}', 1, "one whole JSON object", id="object over lines"),
        pytest.param('"text"\n', 1, "no object", id="a string"),
        pytest.param('{"a": 1, "a": 2}\n', 1, "'a' stands twice", id="a key twice"),
        pytest.param('{"a": NaN}\n', 1, "NaN is not JSON", id="NaN"),
        pytest.param('{"a": -Infinity}\n', 1, "-Infinity is not JSON", id="infinity"),
        pytest.param('{"a": ' + "[" * 100_000, 1, "nested too deeply", id="nesting"),
        pytest.param('{"a": ' + "1" * 5000 + "}", 1, "digits", id="endless number"),
    ],
)
def test_a_bad_line_is_found_before_the_first_row(make: Make, text: str, line: int, words: str) -> None:
    """The whole file is looked at when it is opened."""
    with pytest.raises(InputError, match=r"not|object|twice") as caught:
        read_rows(make(text, "t.jsonl"))
    assert caught.value.line == line
    assert words in str(caught.value)


# -- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_the_encoding_is_found(make: Make, encoding: str, name: str) -> None:
    """UTF-8 with and without a mark, UTF-16 with one, and the Chinese encodings need no flag."""
    text = f"a,b\n1,{CHINESE}\n" if name == "t.csv" else json.dumps({"a": "1", "b": CHINESE}, ensure_ascii=False)
    assert rows_of(make(text.encode(encoding), name)) == [{"a": "1", "b": CHINESE}]


def test_traditional_characters_in_gb18030_are_found(make: Make) -> None:
    """They are beyond GB 2312 but frequent."""
    text = "a,b\n1,我買的商品還沒有收到，請問什麼時候可以退款？訂單編號是一二三\n"
    assert read_rows(make(text.encode("gb18030"))).encoding == "gb18030"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        pytest.param("café crème für Müller, où", "latin-1", id="Latin-1"),
        pytest.param("Мой заказ не пришёл, верните деньги", "cp1251", id="Cyrillic"),
        pytest.param("Мой заказ так и не пришёл, верните деньги пожалуйста скорее", "koi8-r", id="KOI8-R"),
        pytest.param("注文した商品がまだ届きません。返金してください。", "shift-jis", id="Shift JIS"),
        pytest.param("注文した商品がまだ届きません。返金してください。", "euc-jp", id="EUC-JP"),
        pytest.param(
            "배송이 아직 도착하지 않았습니다 환불해 주세요 감사합니다 주문번호는 다음과 같습니다", "euc-kr", id="EUC-KR"
        ),
        pytest.param("我買的商品還沒有收到，請問什麼時候可以退款？", "big5", id="Big5"),
    ],
)
def test_other_encodings_are_refused_unless_named(make: Make, text: str, encoding: str) -> None:
    """A guess that is wrong would be a silent change of what customers wrote."""
    path = make(f'a,b\n1,"{text}"\n'.encode(encoding))
    error = refusal(path)
    assert error.line == 2
    assert "byte" in error.problem
    assert "--encoding" in str(error.remedy)
    assert rows_of(path, encoding=encoding) == [{"a": "1", "b": text}]


def test_damaged_utf8_is_refused_wherever_it_is(make: Make) -> None:
    """Also behind the first blocks of a large file, with the right line and byte, and not taken for another encoding."""
    good = f"1,{CHINESE}\n".encode() * 20_000
    path = make(b"a,b\n" + good + b"2,\xe4\xb8\n")
    error = refusal(path)
    assert error.line == 20_002
    assert f"byte {4 + len(good) + 3} " in error.problem


def test_a_named_encoding_is_used_strictly(make: Make) -> None:
    """Bytes it does not know are an error, not replaced."""
    assert refusal(make(b"a\n\xff\n"), encoding="ascii").line == 2
    assert refusal(make(b"a\n"), encoding="undefined").line == 1


@pytest.mark.parametrize("name", ["nope", "rot13", "base64", "a\0b", ""])
def test_an_unknown_encoding_is_refused(make: Make, name: str) -> None:
    """The error lists some that exist."""
    with pytest.raises(UnknownNameError, match="gb18030"):
        read_rows(make("a\n"), encoding=name)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b" \r\n\t\n", "empty", id="white space"),
        pytest.param(b"\xef\xbb\xbf\n", "empty", id="a mark"),
        pytest.param(b"\xff\xfe", "empty", id="a mark of UTF-16"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", "PNG", id="picture"),
        pytest.param(b"PK\x03\x04\0\0", "export it as CSV", id="workbook"),
        pytest.param("a,b\n1,2\n".encode("utf-16-le"), "utf-16-le", id="UTF-16 without a mark"),
        pytest.param(bytes(range(256)) * 40, "byte", id="binary"),
    ],
)
def test_what_is_no_text_is_refused(make: Make, data: bytes, words: str) -> None:
    """One line says what the file is instead."""
    assert words in str(refusal(make(data)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("t.json", ".jsonl", id="JSON"),
        pytest.param("t.xlsx", "export it as CSV", id="workbook"),
        pytest.param("t.csv.gz", "unpack", id="compressed"),
        pytest.param("t.txt", ".csv", id="text"),
        pytest.param("t", "no suffix", id="no suffix"),
    ],
)
def test_other_suffixes_are_refused(make: Make, name: str, words: str) -> None:
    """With the way out."""
    assert words in str(refusal(make("a\n1\n", name)))


def test_a_file_that_cannot_be_read_is_one_line(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, a folder, a pipe, forbidden: each says so."""
    assert "no such file" in str(refusal(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    assert "folder" in str(refusal(tmp_path / "folder.csv"))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "pipe" in str(refusal(tmp_path / "pipe.csv"))
    with pytest.raises(InputError, match="NUL"):
        read_rows("a\0.csv")
    path = make("a\n1\n")
    for opened_before in range(4):
        opens = [Path.open] * opened_before
        with monkeypatch.context() as patch:
            patch.setattr(
                Path, "open", lambda *args, opens=opens, **options: opens.pop()(*args, **options) if opens else forbidden()
            )
            assert "Permission denied" in str(refusal(path))


def forbidden() -> None:
    """What the system does with a file that is not ours."""
    raise PermissionError(13, "Permission denied")


def test_a_fault_of_the_disk_is_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind the first rows."""
    table = read_rows(make("a\n1\n"))
    monkeypatch.setattr("llmtriage.tables.reading.rows", lambda *_, **__: forbidden())
    with pytest.raises(InputError, match="Permission denied"):
        list(table)


def test_what_the_csv_module_refuses_is_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of more than 2 GB, for one."""
    monkeypatch.setattr("llmtriage.tables.csv_text._LARGEST_CELL", 5)
    assert "field limit" in str(refusal(make("a,b\n1,2345678\n")))


def test_the_repr_of_a_table_holds_no_cells(make: Make) -> None:
    """Cells are what customers wrote."""
    assert repr(read_rows(make("a,b\nsecret,2\n"))).endswith("t.csv', columns='a, b')")


@pytest.mark.parametrize("data", [b"b,a\n1,2\n", b"a,b\n1,\xff\n"], ids=["other columns", "other encoding"])
def test_a_file_that_changes_while_it_is_read_is_an_error(make: Make, data: bytes) -> None:
    """What was checked is what is read."""
    path = make("a,b\n1,2\n")
    table = read_rows(path)
    path.write_bytes(data)
    with pytest.raises(InputError, match="changed"):
        list(table)


# -- writing -------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), min_size=1, max_size=5).map(
    lambda s: "c" + "".join(s.replace("\0", "").split())
)
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("\0\n\r\t\",;'=+-@ \ud800\udc00😀退")), max_size=12)


def written(rows: list[dict[str, Any]], columns: list[str], name: str) -> list[dict[str, object]]:
    """These rows, written and read back."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        with open_writer(path, columns) as writer:
            for row in rows:
                writer.write(row)
        return rows_of(path)


@pytest.mark.slow
@given(data=st.data(), columns=st.lists(NAMES, min_size=1, max_size=3, unique=True), name=st.sampled_from(["t.csv", "t.tsv"]))
@settings(max_examples=150, deadline=None)
def test_csv_is_read_back_as_written(data: st.DataObject, columns: list[str], name: str) -> None:
    """All text survives but NUL and half surrogate pairs, and an apostrophe stands before what could be a formula."""
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, TEXTS)), max_size=5))
    for row, back in zip(rows, written(rows, columns, name), strict=True):
        for column in columns:
            clean = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in row[column] if c != "\0")
            found = str(back[column])
            assert found == clean or (found == f"'{clean}" and clean[0] in "=+-@\t\r\n＝＋－＠")
            assert not found.startswith(("=", "@", "\t", "\r", "＝"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def one_pair(value: Any) -> Any:
    """JSON knows no pair of half surrogate pairs: it is one character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, list):
        return [one_pair(item) for item in value]
    return {one_pair(k): one_pair(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.slow
@given(data=st.data(), columns=st.lists(TEXTS.map(one_pair), min_size=1, max_size=3, unique=True))
@settings(max_examples=150, deadline=None)
def test_json_lines_are_read_back_as_written(data: st.DataObject, columns: list[str]) -> None:
    """Nothing is lost, not even NUL and half surrogate pairs."""
    rows = data.draw(st.lists(st.fixed_dictionaries({c: JSON.map(one_pair) for c in columns}), min_size=1, max_size=5))
    assert written(rows, columns, "t.jsonl") == rows


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0", id="formula"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("\0=1", "'=1", id="hidden by NUL"),
        pytest.param("＝1+1", "'＝1+1", id="full width"),
        pytest.param("-2+3+cmd", "'-2+3+cmd", id="minus"),
        pytest.param("-2+3", "'-2+3", id="arithmetic"),
        pytest.param("-5", "-5", id="negative number"),
        pytest.param("+49 (30) 123456", "+49 (30) 123456", id="telephone number"),
        pytest.param("-1.5e-07", "-1.5e-07", id="exponent"),
        pytest.param("- item", "'- item", id="list"),
        pytest.param(-5, "-5", id="number"),
        pytest.param(None, "", id="None"),
        pytest.param(True, "true", id="boolean"),
        pytest.param(float("nan"), "", id="NaN"),
        pytest.param(np.float64(0.25), "0.25", id="numpy"),
        pytest.param(np.int64(3), "3", id="numpy integer"),
        pytest.param("\ud800", "\ufffd", id="half a surrogate pair"),
    ],
)
def test_csv_cells(value: object, cell: str) -> None:
    """Text that a spreadsheet would run is neutralised; numbers stay numbers."""
    assert encode_row({"a": value, "b": "x"}, ["a", "b"], "csv").decode() == f"{cell},x\n"


@pytest.mark.parametrize(
    ("row", "fmt", "encoded"),
    [
        pytest.param({"b": "x"}, "csv", ",x\n", id="CSV, missing cell"),
        pytest.param({"a": 'x"y', "b": "1,2"}, "csv", '"x""y","1,2"\n', id="CSV, quotes"),
        pytest.param({"a": ["退", 1]}, "csv", '"[""退"", 1]",\n', id="CSV, list"),
        pytest.param({"a": "x"}, "tsv", "x\t\n", id="TSV"),
        pytest.param({"b": "退\u2028"}, "jsonl", '{"a": null, "b": "退\\u2028"}\n', id="JSONL"),
        pytest.param(
            {"a": [float("inf"), (1.5,)], "b": {"c": np.float32(0.5)}},
            "jsonl",
            '{"a": [null, [1.5]], "b": {"c": 0.5}}\n',
            id="JSONL, inf",
        ),
    ],
)
def test_encoded_rows(row: dict[str, object], fmt: TableFormat, encoded: str) -> None:
    """The same row always gives the same bytes."""
    assert encode_row(row, ["a", "b"], fmt).decode() == encoded


def test_a_cell_outside_the_columns_or_without_a_meaning_is_a_mistake_of_the_caller() -> None:
    """It is not dropped in silence."""
    with pytest.raises(ValueError, match="no such column: z"):
        encode_row({"z": 1}, ["a"], "csv")
    with pytest.raises(TypeError, match="object"):
        encode_row({"a": object()}, ["a"], "csv")


def test_an_empty_cell_in_a_table_of_one_column_is_a_row() -> None:
    """A blank line would be none."""
    assert written([{"a": ""}, {"a": "  "}], ["a"], "t.csv") == [{"a": ""}, {"a": "  "}]


def test_a_mark_for_excel_is_written_on_demand(tmp_path: Path) -> None:
    """By default there is none; it does not hinder reading or appending."""
    path = tmp_path / "t.csv"
    open_writer(path, ["a"], bom=True).close()
    assert path.read_bytes() == b"\xef\xbb\xbfa\n"
    with open_writer(path, ["a"], append=True) as writer:
        writer.write({"a": "退"})
    assert rows_of(path) == [{"a": "退"}]
    assert encode_header(["a"], "csv") == b"a\n"


def test_an_existing_file_is_not_touched_unless_told(tmp_path: Path) -> None:
    """The error names both ways on."""
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    with pytest.raises(InputError, match=r"--resume.*--overwrite"):
        open_writer(path, ["a"])
    assert path.read_text() == "a\n1\n"
    with open_writer(path, ["a"], append=True) as writer:
        writer.write({"a": 2})
    assert path.read_text() == "a\n1\n2\n"
    with open_writer(path, ["b"], overwrite=True) as writer:
        writer.write({"b": 3})
    assert path.read_text() == "b\n3\n"


@pytest.mark.parametrize(("text", "words"), [("b\n1\n", "other columns"), ("a\n1", "breaks off")], ids=["header", "torn row"])
def test_appending_needs_the_same_table(tmp_path: Path, text: str, words: str) -> None:
    """Rows are not put under another header nor glued to half a row."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        open_writer(path, ["a"], append=True)
    assert path.read_text() == text


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    """Nothing is lost by writing into it."""
    path = tmp_path / "t.csv"
    path.touch()
    open_writer(path, ["a"]).close()
    assert path.read_text() == "a\n"


def test_rows_reach_the_disk_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 64 rows, after much text, and on flush: each time whole rows with one call."""
    path = tmp_path / "t.jsonl"
    calls: list[int] = []
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        calls.append(len(data))
        return write(fd, data)

    with open_writer(path, ["a"]) as writer:
        monkeypatch.setattr(os, "write", counted)
        for i in range(64):
            assert path.stat().st_size == 0
            writer.write({"a": i})
        assert len(path.read_bytes().splitlines()) == 64
        writer.write({"a": "x"})
        writer.flush()
        writer.write({"a": "y" * 300_000})
        assert len(path.read_bytes().splitlines()) == 66
    assert len(calls) == 3
    writer.close()


def test_rows_before_an_error_are_kept(tmp_path: Path) -> None:
    """What was decided is on disk, whatever ended the run."""
    path = tmp_path / "t.jsonl"
    with pytest.raises(KeyboardInterrupt), open_writer(path, ["a"]) as writer:
        writer.write({"a": 1})
        raise KeyboardInterrupt
    assert rows_of(path) == [{"a": 1}]


def test_a_full_disk_is_one_line_and_leaves_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that was written in part is taken back."""
    path = tmp_path / "t.jsonl"
    write = os.write
    room = [20]

    def limited(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        count = write(fd, data[: room[0]])
        room[0] -= count
        return count

    with open_writer(path, ["a"]) as writer:
        monkeypatch.setattr(os, "write", limited)
        writer.write({"a": "first"})
        writer.flush()
        writer.write({"a": "second"})
        writer.write({"a": "third"})
        with pytest.raises(InputError, match="No space left on device"):
            writer.flush()
    assert rows_of(path) == [{"a": "first"}]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A missing folder, a folder, a file in place of a folder, a NUL in the name."""
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    for name, words in [("none/t.csv", "folder does not exist"), ("folder.csv", "folder"), ("file/t.csv", "cannot be written")]:
        with pytest.raises(InputError, match=words):
            open_writer(tmp_path / name, ["a"])
    with pytest.raises(InputError, match="NUL"):
        open_writer("a\0.csv", ["a"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no such devices")
def test_devices_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot be emptied; a full one and one that fails on closing say so."""
    open_writer("/dev/null", ["a"], fmt="csv", overwrite=True).close()
    with pytest.raises(InputError, match="No space left"):
        open_writer("/dev/full", ["a"], fmt="csv")
    writer = open_writer("/dev/null", ["a"], fmt="csv")
    monkeypatch.setattr(os, "close", lambda _: forbidden())
    with pytest.raises(InputError, match="Permission denied"):
        writer.close()


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """The mask of the process decides."""
    before = os.umask(0o027)
    try:
        open_writer(tmp_path / "t.csv", ["a"]).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "t.csv").stat().st_mode) == 0o640


def test_a_dash_is_the_standard_output(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON lines by default; CSV on demand; also where the standard output takes text alone."""
    with open_writer("-", ["a"]) as writer:
        writer.write({"a": "退款"})
    with open_writer("-", ["a"], fmt="csv") as writer:
        writer.write({"a": "x"})
    assert capfdbinary.readouterr().out == '{"a": "退款"}\na\nx\n'.encode()

    class TextOnly:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    stdout = TextOnly()
    monkeypatch.setattr(sys, "stdout", stdout)
    with open_writer("-", ["a"]) as writer:
        writer.write({"a": 1})
    assert stdout.text == '{"a": 1}\n'
