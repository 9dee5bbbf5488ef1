"""Rows out of CSV, TSV and JSON lines, read by the standard library.

It was chosen over the readers of ``datasets`` and pyarrow because it can say in which line a bad byte, row or value
stands, fills no missing cell, guesses no type ('007' and 'NA' stay text) and unpacks .gz and .xz as it goes. It takes
4 to 5 seconds for a million rows, once: the converted table is kept.
"""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from edgekd.errors import BadInputError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = ".parquet"
ENDINGS = (*SEPARATORS, *JSON_LINES, PARQUET)
PACKED = (".gz", ".xz")
LOOKED_AT = 200  # rows of each file that are read when a pipeline is planned

Row = tuple[str | None, ...]


def ending(path: Path) -> str:
    """The ending that says the format: 'data.CSV.gz' has '.csv'.

    >>> ending(Path("data.CSV.gz"))
    '.csv'

    Raises:
        BadInputError: no format that can be read.

    """
    packed = path.suffix.lower() in PACKED
    found = (Path(path.stem) if packed else path).suffix.lower()
    if found not in ENDINGS or (packed and found == PARQUET):
        raise BadInputError(
            f"{path}: found a file ending in {path.suffix!r}, expected one of {', '.join(ENDINGS)}",
            "all but Parquet may be packed as .gz or .xz",
        )
    return found


def lines(path: Path) -> Iterator[str]:
    """The file's lines, unpacked, without a byte order mark.

    Raises:
        BadInputError: a byte that isn't UTF-8, or NUL, with its line; a damaged archive; no such file.

    """
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, 1):
                yield _decoded(raw, f"{path}:{number}", "utf-8-sig" if number == 1 else "utf-8")
    except (lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise BadInputError(f"{path}: found a file that can't be read: {error}") from error


def names(path: Path) -> tuple[str, ...]:
    """The columns of a CSV or TSV file's header, or the keys of the first JSON object.

    Raises:
        BadInputError: nothing in it, a repeated name, or what :func:`lines` refuses.

    """
    if ending(path) in JSON_LINES:
        first = next(_objects(path), None)
        if first is None:
            raise _empty(path)
        return tuple(first[1])
    try:
        return _header(path, next(_cells(path), None))
    except csv.Error as error:
        raise BadInputError(f"{path}:1: found a line that isn't CSV: {error}") from error


def read(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV, TSV or JSON lines file, with these columns in this order.

    A JSON string stays as it is, a number keeps its digits, true and false become those words, and null or a key that
    is not there becomes None. A blank line is no row.

    Raises:
        BadInputError: what can't be read as such, with file and line.

    """
    return _json_rows(path, columns) if ending(path) in JSON_LINES else _separated_rows(path, columns)


def look(path: Path, columns: Sequence[str]) -> None:
    """Refuse what the first rows show to be unreadable, and a file without rows."""
    if not list(islice(read(path, columns), LOOKED_AT)):
        raise _empty(path)


def _cells(path: Path) -> Any:
    return csv.reader(lines(path), delimiter=SEPARATORS[ending(path)], strict=True)


def _separated_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    reader = _cells(path)
    try:
        header = _header(path, next(reader, None))
        places = [header.index(name) for name in columns]
        for row in reader:
            if row and len(row) != len(header):
                raise BadInputError(
                    f"{path}:{reader.line_num}: found {len(row)} cells, expected {len(header)} as in the first line",
                    "a text that holds the separator, a quote or a line break must stand in double quotes",
                )
            if row:
                yield tuple(row[place] for place in places)
    except csv.Error as error:
        raise BadInputError(
            f"{path}:{reader.line_num}: found a row that isn't CSV: {error}",
            'a text that begins with a quote must be quoted whole: "say ""hi"" to her"',
        ) from error


def _header(path: Path, found: list[str] | None) -> tuple[str, ...]:
    if not found:
        raise _empty(path)
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise BadInputError(f"{path}:1: found the columns {repeated} more than once, expected each name once")
    return tuple(found)


def _json_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    for number, found in _objects(path):
        yield tuple(_cell(found.get(name), name, path, number) for name in columns)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, parse_float=str, parse_int=str, parse_constant=_refuse_constant)
        except ValueError as error:
            raise BadInputError(f"{path}:{number}: found a line that isn't JSON: {error}", _one_a_line()) from error
        if not isinstance(found, dict):
            raise BadInputError(f"{path}:{number}: found JSON that isn't an object", _one_a_line())
        yield number, found


def _one_a_line() -> str:
    return "expected one JSON object a line; from an array they are made by: jq -c '.[]' OLD.json > NEW.jsonl"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _cell(value: Any, name: str, path: Path, number: int) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        raise BadInputError(f"{path}:{number}: {name}: found a {type(value).__name__}, expected text or a number")
    if isinstance(value, str) and not value.isascii():
        _refuse_half_characters(value, name, path, number)
    return None if value is None else str(value)


def _refuse_half_characters(value: str, name: str, path: Path, number: int) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadInputError(
            f"{path}:{number}: {name}: found half a character (\\u{ord(value[error.start]):04x} alone)",
            "write characters as they are, or both halves of the pair",
        ) from error


def _opened(path: Path) -> gzip.GzipFile | lzma.LZMAFile | BinaryIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path)
    return lzma.open(path) if path.suffix.lower() == ".xz" else path.open("rb")


def _decoded(raw: bytes, where: str, encoding: str) -> str:
    if b"\0" in raw:
        raise BadInputError(f"{where}: found a zero byte, expected UTF-8 text", "UTF-16 text must be saved as UTF-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{where}: found the byte 0x{raw[error.start]:02x}, which is not UTF-8 there",
            "save the whole file as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        ) from error


def _empty(path: Path) -> BadInputError:
    return BadInputError(f"{path}: found no rows, expected at least one", "CSV begins with the columns' names")
