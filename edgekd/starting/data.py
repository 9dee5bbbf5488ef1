"""The data that somebody named: a table or an image folder, and what task it suits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.data import records
from edgekd.errors import BadInputError
from edgekd.starting import columns

TEST_SHARE = 0.2  # of a table that comes without a test split
Table = dict[str, list[str]]


@dataclass(frozen=True)
class Found:
    """What a pipeline has to say of the data."""

    task: str
    name: str  # what the pipeline is called for it
    lines: tuple[str, ...]  # of the [data] table, but for selection
    fewest: int  # training rows of the rarest class; of all, where there are none
    classes: int  # 0: no labels
    said: tuple[str, ...]  # what was found, for a person
    files: Mapping[str, Table] = field(default_factory=dict)  # to be written beside the pipeline
    image_side: int = 0


def table(path: Path, test: Path | None, given: Mapping[str, str], root: Path) -> Found:
    """Look at a table; without ``test``, one beside it called 'test' for 'train' is taken, or a part is set aside.

    Raises:
        BadInputError: a table that can't be read, has no column that fits, or too few rows.

    """
    rows = _read(path)
    roles = columns.roles(rows, given, str(path))
    beside = path.with_name(path.name.replace("train", "test"))
    test = test or (beside if beside != path and beside.is_file() else None)
    if test is None:
        return _parted(path, rows, roles)
    return _with_test(path, rows, roles, test, root)


def _read(path: Path) -> Table:
    """Every column as text."""
    if records.ending(path) == records.PARQUET:
        from edgekd.data.tables import import_arrow

        import_arrow()
        from pyarrow import parquet

        try:
            whole = parquet.read_table(path).to_pydict()
        except Exception as error:
            raise BadInputError(f"{path}: found no Parquet file that can be read: {str(error)[:200]}") from error
        return {name: ["" if value is None else str(value) for value in values] for name, values in whole.items()}
    names = records.names(path)
    listed = list(records.read(path, names))
    if not listed:
        raise BadInputError(f"{path}: found no rows below the header")
    return {
        name: [value or "" for value in values] for name, values in zip(names, zip(*listed, strict=True), strict=True)
    }


def _with_test(path: Path, rows: Table, roles: Mapping[str, str], test: Path, root: Path) -> Found:
    tested = _read(test)
    if "query" in roles:
        raise BadInputError(
            f"{path}: found queries and documents, and a test file; expected training texts, or pairs alone",
            "leave --test away: a part of the pairs is set aside, and the texts of the others are trained on",
        )
    embedding = "label" not in roles and "text" in roles
    if embedding:
        pairs = columns.roles(tested, {}, str(test))
        if "query" not in pairs:
            raise _no_test(path, f"{test} has no columns 'query' and 'document'")
        named = {**roles, **pairs}
    else:
        missing = [column for column in roles.values() if column not in tested]
        if missing:
            raise BadInputError(
                f"{test}: found no column {missing[0]!r}, which {path} has", "give both the same columns"
            )
        named = dict(roles)
    places = [relative(each, root) for each in (path, test)]
    lines = ['use = "table"', f"train = {quoted(places[0])}", f"test = {quoted(places[1])}", *_named(named)]
    return _described(path, rows, roles, lines, f"{len(next(iter(tested.values()))):,} test rows in {test}")


def _parted(path: Path, rows: Table, roles: Mapping[str, str]) -> Found:
    """Set a fifth aside for tests, by digests of the texts: equal ones stay together, and a rerun gives the same."""
    if "label" not in roles and "query" not in roles:
        raise _no_test(path, "its texts have no labels")
    key = roles.get("text") or roles.get("image") or roles["query"]
    aside = _aside(rows[key], rows[roles["label"]] if "label" in roles else None)
    train, test = (_some(rows, tuple(roles.values()), [out is side for out in aside]) for side in (False, True))
    if "query" in roles:
        train = {"text": list(dict.fromkeys(text for column in roles.values() for text in train[column]))}
    if "image" in roles:
        for part in (train, test):
            part[key] = [str((path.parent / value).resolve()) for value in part[key]]
    stem = _stem(path)
    names = f"{stem}-train.csv", f"{stem}-test.csv"
    lines = ['use = "table"', f"train = {quoted(names[0])}", f"test = {quoted(names[1])}", *_named(roles)]
    said = f"{sum(aside):,} of {len(aside):,} rows are set aside for tests: {names[0]}, {names[1]}"
    found = _described(path, train, roles if "query" not in roles else {"text": "text"}, lines, said)
    return Found(**{**vars(found), "files": dict(zip(names, (train, test), strict=True))})


def _some(rows: Table, names: tuple[str, ...], wanted: list[bool]) -> Table:
    """These columns of the rows that are wanted."""
    return {name: [value for value, keep in zip(rows[name], wanted, strict=True) if keep] for name in names}


def _aside(keys: list[str], labels: list[str] | None) -> list[bool]:
    """Which rows are tested: of each class the fifth of the texts with the least digests."""
    of_class: dict[str, dict[str, None]] = {}
    for row, key in enumerate(keys):
        of_class.setdefault(labels[row] if labels else "", {})[key] = None
    tested: set[str] = set()
    for texts in of_class.values():
        ordered = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
        tested |= set(ordered[: max(1, round(TEST_SHARE * len(ordered)))] if len(ordered) > 1 else [])
    return [key in tested for key in keys]


def _described(path: Path, train: Table, roles: Mapping[str, str], lines: list[str], said: str) -> Found:
    count = len(next(iter(train.values())))
    labels = Counter(train[roles["label"]]) if "label" in roles else Counter[str]()
    if "image" in roles:
        task, noun = "image-classification", "images"
    else:
        task, noun = ("text-classification" if labels else "text-embedding"), "texts"
    shown = ", ".join(f"{role} = {column!r}" for role, column in roles.items())
    told = [f"{path}: {count:,} training {noun}; {shown}", said]
    if labels:
        told.append(
            f"{len(labels)} classes: {', '.join(map(ascii, sorted(labels)[:6]))}{' …' if len(labels) > 6 else ''}"
        )
    fewest = min(labels.values()) if labels else count
    return Found(task, _stem(path), tuple(lines), fewest, len(labels), tuple(told))


def folder(root: Path, beside: Path) -> Found:
    """Look at an image folder: ROOT/train/CLASS and ROOT/test/CLASS.

    Raises:
        BadInputError: another arrangement.

    """
    from edgekd.data import folder as images

    if not (root / "train").is_dir() or not (root / "test").is_dir():
        raise BadInputError(
            f"{root}: found {', '.join(sorted(each.name for each in root.iterdir())[:5]) or 'nothing'} in it, "
            "expected train/CLASS/ and test/CLASS/ with images",
            "move a part of each class's images below test/, which is never trained on",
        )
    classes = images.class_names(root)
    counts = [len(list(_pictures(root / "train" / name))) for name in classes]
    side = _side(next((each for name in classes for each in _pictures(root / "train" / name)), None))
    lines = ['use = "folder"', f"path = {quoted(relative(root, beside))}"]
    told = f"{root}: {sum(counts):,} training images of {len(classes)} classes, the first {side} pixels wide"
    return Found("image-classification", root.name, tuple(lines), min(counts), len(classes), (told,), image_side=side)


def _pictures(place: Path) -> Iterator[Path]:
    return (each for each in sorted(place.rglob("*")) if each.suffix.lower() in columns.PICTURES)


def _side(path: Path | None) -> int:
    if path is None:
        return 0
    from PIL import Image

    with Image.open(path) as image:
        return max(image.size)


def _named(roles: Mapping[str, str]) -> list[str]:
    """The line 'columns', where they aren't called as edgekd calls them."""
    other = {role: column for role, column in roles.items() if role != column}
    return (
        [f"columns = {{ {', '.join(f'{role} = {quoted(column)}' for role, column in other.items())} }}"]
        if other
        else []
    )


def _no_test(path: Path, why: str) -> BadInputError:
    return BadInputError(
        f"{path}: found no test data: {why}",
        "name a table of queries and the documents that answer them with --test FILE (columns 'query' and 'document'), "
        "or say with --column label=NAME which column has labels",
    )


def _stem(path: Path) -> str:
    return path.name.partition(".")[0].removesuffix("train").rstrip("-_. ") or "pipeline"


def relative(path: Path, root: Path) -> str:
    """``path`` as a pipeline in ``root`` names it."""
    import os

    return Path(os.path.relpath(path.resolve(), root.resolve())).as_posix()


def quoted(text: str) -> str:
    """``text`` as TOML writes it."""
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
