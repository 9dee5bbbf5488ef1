import gzip
import lzma
from pathlib import Path

import pytest

from edgekd.data import records
from edgekd.errors import BadInputError


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path: Path, columns: tuple[str, ...] = ("text", "label")) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        list(records.read(path, columns))
    return caught.value


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"text,label,n\nhello,a,1\nNA,007,\n"),
        ("a.csv", b"\xef\xbb\xbftext,n,label\r\n\r\nhello,1,a\r\nNA,,007"),
        ("a.tsv", b"text\tlabel\nhello\ta\nNA\t007\n"),
        ("a.CSV.gz", gzip.compress(b"label,text\na,hello\n007,NA\n")),
        ("a.jsonl", b'{"text": "hello", "label": "a"}\n\n{"label": "007", "text": "NA", "more": [1]}\n'),
        ("a.ndjson.xz", lzma.compress(b'{"text": "hello", "label": "a"}\n{"label": "007", "text": "NA"}')),
    ],
)
def test_every_format_gives_the_same_text_and_no_type_is_guessed(name: str, content: bytes, tmp_path: Path) -> None:
    assert list(records.read(written(tmp_path, name, content), ("text", "label"))) == [("hello", "a"), ("NA", "007")]


def test_a_quoted_text_may_hold_the_separator_a_quote_and_line_breaks(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b'text,label\n"one, ""two""\nthree",a\nnext,b\n')
    assert list(records.read(path, ("text",))) == [('one, "two"\nthree',), ("next",)]


def test_numbers_in_json_keep_their_digits_and_null_is_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", b'{"text": null, "label": 4.50}\n{"label": true}\n{"text": "", "label": 7}\n')
    assert list(records.read(path, ("text", "label"))) == [(None, "4.50"), (None, "true"), ("", "7")]


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("a.csv", b"text,label\nhello,a\ncaf\xe9,b\n", 3, "found the byte 0xe9, which is not UTF-8 there"),
        ("a.csv", "text,label\nhello,a\n".encode("utf-16"), 1, "found a zero byte, expected UTF-8 text"),
        ("a.csv", b"text,label\nhello,a\none,two,three\n", 3, "found 3 cells, expected 2 as in the first line"),
        ("a.csv", b'text,label\n"two\nlines",a\nalone\n', 4, "found 1 cells, expected 2 as in the first line"),
        ("a.csv", b'text,label\n"never closed,a\n', 2, "found a row that isn't CSV: unexpected end of data"),
        ("a.csv", b'text,label\nok,a\n"hi" she said,a\n', 3, "found a row that isn't CSV: ',' expected after '\"'"),
        ("a.csv", b"text,label,text\na,b,c\n", 1, "found the columns ['text'] more than once"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', 2, "found a line that isn't JSON: Expecting value"),
        ("a.jsonl", b'{"text": "a"}\n{"text": NaN}\n', 2, "found a line that isn't JSON: NaN is no JSON value"),
        ("a.json", b'[{"text": "a"}]\n', 1, "found JSON that isn't an object"),
        ("a.jsonl", b'{"text": ["a"]}\n', 1, "text: found a list, expected text or a number"),
        ("a.jsonl", b'{"text": "\\ud83d"}\n', 1, "text: found half a character (\\ud83d alone)"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    name: str, content: bytes, line: int, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    error = refused(path)
    assert error.message.startswith(f"{path}:{line}: {message}")
    assert error.hint or "more than once" in message or "found a list" in message


@pytest.mark.parametrize("content", [b"no archive", gzip.compress(b"text,label\n" + b"x,y\n" * 9999)[:-20], b""])
def test_a_damaged_archive_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv.gz", content)
    assert str(path) in refused(path).message


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz", ".csv", "a.gz"])
def test_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"expected one of \.csv, \.tsv, \.jsonl, \.ndjson, \.json, \.parquet"):
        records.ending(tmp_path / name)


@pytest.mark.parametrize(("name", "content"), [("a.csv", b"text,label\n"), ("a.csv", b"\n"), ("a.jsonl", b"\n \n")])
def test_a_file_without_rows_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(BadInputError, match="found no rows, expected at least one"):
        records.look(path, records.names(path))
