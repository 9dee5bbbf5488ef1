from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from edgekd.data import tables
from edgekd.data.cache import Cache
from edgekd.data.tables import Wanted
from edgekd.errors import BadInputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a folder [1]"
    made.mkdir()
    (made / "a.csv").write_text("text,label\none,x\ntwo,y\n")
    (made / "b.csv").write_text("label,text,id\nx,three,7\n")
    (made / "c.jsonl").write_text('{"text": "four", "label": 5}\n')
    parquet.write_table(pa.table({"label": ["x"], "text": pa.array(["five"], pa.string())}), made / "d.parquet")
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return Cache(tmp_path / "cache").root


def refused(paths: tuple[Path, ...], required: tuple[str, ...] = ("text", "label")) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        tables.check(paths, Wanted(required))
    return caught.value


def test_files_of_several_formats_are_one_table(folder: Path, cache: Path) -> None:
    paths = tuple(sorted(folder.iterdir()))
    table = tables.open_table(paths, cache)
    assert (table.columns, len(table)) == (("text", "label"), 5)
    assert list(table.text("text")) == ["one", "two", "three", "four", "five"]
    assert list(table.column("label")) == ["x", "y", "x", "5", "x"]
    assert table.where == f"{paths[0]} and 3 more"


def test_a_table_is_converted_once_and_again_when_its_bytes_change(folder: Path, cache: Path) -> None:
    path = folder / "a.csv"
    tables.open_table((path,), cache)
    (first,) = cache.iterdir()
    made = first.stat().st_mtime_ns
    path.rename(folder / "z.csv")
    tables.open_table((folder / "z.csv",), cache)
    assert [(file, file.stat().st_mtime_ns) for file in cache.iterdir()] == [(first, made)]
    (folder / "z.csv").write_text("text,label\none,x\ntwo,z\n")
    assert list(tables.open_table((folder / "z.csv",), cache).column("label")) == ["x", "z"]
    assert len(list(cache.iterdir())) == 2
    assert len(tables.open_table((folder / "z.csv",), cache, ["label"]).columns) == 1


def test_the_columns_that_all_files_have_are_named(folder: Path) -> None:
    wanted = Wanted(("text",), ("id", "label"))
    assert tables.check((folder / "b.csv",), wanted) == ("text", "id", "label")
    assert tables.check((folder / "a.csv", folder / "b.csv"), wanted) == ("text", "label")


def test_an_unknown_column_is_refused_with_those_that_are_there(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        error = refused((path,), ("texts",))
        assert error.message.startswith(f"{path}: found no column 'texts', only ")
        assert error.hint.startswith("did you mean 'text'?")
    assert refused((folder / "a.csv",), ("texts",)).message.endswith("only 'text', 'label'")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file, expected at least one row"),
        (b"text,label\n", "found no rows, expected at least one"),
        (b"text,label\ngood,a\nbad\n", "found 1 cells, expected 2"),
        (b"text,label\ngood,a\n\xff,b\n", "found the byte 0xff"),
    ],
)
def test_what_the_beginning_shows_is_refused_when_planning(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert message in refused((tmp_path / "a.csv",)).message


@pytest.mark.parametrize("content", [b"no parquet", b"PAR1PAR1"])
def test_a_damaged_parquet_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    assert "can't be read as Parquet" in refused((tmp_path / "a.parquet",)).message


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert "found no rows" in refused((tmp_path / "a.parquet",), ("text",)).message


def test_a_bad_row_far_down_is_refused_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + b"good,a\n" * 9_000 + b"caf\xe9,a\n")
    tables.check((path,), Wanted(("text",)))
    with pytest.raises(BadInputError) as caught:
        tables.open_table((path,), cache)
    assert caught.value.message.startswith(f"{path}:9002: found the byte 0xe9")
    assert list(cache.iterdir()) == []


def test_files_whose_types_differ_are_refused(folder: Path, cache: Path) -> None:
    parquet.write_table(pa.table({"text": ["six"], "label": [1]}), folder / "e.parquet")
    with pytest.raises(BadInputError) as caught:
        tables.open_table((folder / "a.csv", folder / "e.parquet"), cache)
    assert caught.value.message == (
        f"{folder / 'e.parquet'}: found columns of the types ['string', 'int64'], expected ['string', 'string'] "
        f"as in {folder / 'a.csv'}"
    )


def test_a_column_of_numbers_is_no_text(tmp_path: Path, cache: Path) -> None:
    parquet.write_table(pa.table({"text": [1.5]}), tmp_path / "a.parquet")
    with pytest.raises(BadInputError, match="found a column 'text' of type double, expected text"):
        tables.open_table((tmp_path / "a.parquet",), cache).text("text")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_other_forms_of_text_are_text(kind: pa.DataType, tmp_path: Path, cache: Path) -> None:
    parquet.write_table(pa.table({"text": pa.array(["café", "b"]).cast(kind)}), tmp_path / "a.parquet")
    column = tables.open_table((tmp_path / "a.parquet",), cache).text("text")
    assert (list(column), column[1]) == (["café", "b"], "b")


def test_globs_are_sorted_and_brackets_of_the_pipelines_folder_are_literal(folder: Path) -> None:
    names = tuple(tables.placed(name, folder) for name in ("*.csv", "c.jsonl"))
    assert [path.name for path in tables.expand(names, "[data] train")] == ["a.csv", "b.csv", "c.jsonl"]
    assert tables.expand((tables.placed(str(folder / "c.jsonl"), Path("elsewhere")),), "") == (folder / "c.jsonl",)


def test_a_missing_file_is_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        tables.expand((str(folder / "a.tsv"),), "[data] train")
    assert caught.value.message == f"[data] train: found no file {folder / 'a.tsv'}"
    assert "'a.csv'" in caught.value.hint
    with pytest.raises(BadInputError, match=r"found no file .*nowhere"):
        tables.expand((str(folder / "nowhere" / "*.csv"),), "[data] train")


def test_the_digest_is_of_formats_and_bytes(folder: Path) -> None:
    before = tables.digest((folder / "a.csv",))
    (folder / "a.tsv").write_bytes((folder / "a.csv").read_bytes())
    (folder / "other.csv").write_bytes((folder / "a.csv").read_bytes())
    assert tables.digest((folder / "other.csv",)) == before
    assert tables.digest((folder / "a.tsv",)) != before
    assert tables.digest((folder / "b.csv",)) != before


def test_a_cache_that_was_not_given_goes_with_its_object() -> None:
    cache = Cache()
    root = cache.root
    (root / "a").write_text("a")
    assert cache.root == root
    del cache
    assert not root.exists()
