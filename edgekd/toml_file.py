"""Read a TOML file into a frozen pydantic model; an error names file, line, what was found and expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgekd.errors import BadInputError, nearest

PACKAGED = Path(__file__).parent


class Frozen(BaseModel):
    """A model whose fields can't change and that refuses keys it doesn't know."""

    # defer_build: a plan uses few of the hundred models, and building one takes milliseconds
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=False, defer_build=True)


Model = TypeVar("Model", bound=BaseModel)


def resolve(name: str, folder: str, noun: str) -> Path:
    """Find ``name``: an existing path, else ./FOLDER/NAME.toml, else the packaged one.

    Raises:
        BadInputError: none of them exists; the nearest names are listed.

    """
    given = Path(name)
    if given.is_file():
        return given
    for root in search_path(folder):
        if (root / f"{name}.toml").is_file():
            return root / f"{name}.toml"
    known = {path.stem for root in search_path(folder) for path in root.glob("*.toml")}
    raise BadInputError(f"found no {noun} {name!r}: neither a file nor a name", nearest(Path(name).stem or name, known))


def search_path(folder: str) -> tuple[Path, ...]:
    """The folders in which names are looked up, first wins."""
    roots = (Path(folder), PACKAGED / folder, PACKAGED.parent / folder)
    return tuple(root for root in roots if root.is_dir())


def read(path: Path) -> tuple[dict[str, Any], str]:
    """Return the parsed file and its text."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: found a file that can't be read as UTF-8 text: {error}") from error
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{path}: not valid TOML: {error}", "see https://toml.io for the syntax") from error


def validate(model: type[Model], values: object, path: Path, text: str, prefix: Sequence[str | int] = ()) -> Model:
    """Make ``model`` of ``values``, which stand in ``text`` under the keys ``prefix``."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors()
        first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])  # a typo explains more
        keys = (*prefix, *first["loc"])
        where = f"{path}:{line_of(text, keys)}"
        name = ".".join(str(key) for key in keys)
        if first["type"] == "extra_forbidden":
            known = _fields(model, first["loc"][:-1])
            raise BadInputError(f"{where}: found the unknown key {name!r}", nearest(str(keys[-1]), known)) from None
        if first["type"] == "missing":
            raise BadInputError(f"{where}: found no {name!r}, which is required") from None
        found = repr(first["input"])[:80]
        message = first["msg"].removeprefix("Value error, ")
        raise BadInputError(f"{where}: {name}: found {found}: {message}") from None


def line_of(text: str, keys: Sequence[str | int]) -> int:
    r"""Return the 1-based line where the TOML key path ``keys`` stands, or its nearest parent's.

    >>> line_of('a = 1\n[b]\nc = 2\n[[d]]\nuse = 1\n[[d]]\nuse = 2\n', ["d", 1, "use"])
    7
    """
    header, seen, best = "", 0, 1
    wanted = [str(key) for key in keys]
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        table = re.match(r"\[\[?\s*([^\]]+?)\s*\]\]?", line)
        if table and line.startswith("["):
            seen = seen + 1 if table[1] == header and line.startswith("[[") else 0
            header = table[1]
            parts = [*header.split("."), *([str(seen)] if line.startswith("[[") else [])]
        else:
            key = re.match(r"([\w\-.\"]+)\s*=", line)
            if not key:
                continue
            parts = [*_header_parts(header, seen, text), *key[1].replace('"', "").split(".")]
        if wanted[: len(parts)] == parts:
            best = number
            if parts == wanted:
                break
    return best


def _header_parts(header: str, index: int, text: str) -> list[str]:
    if not header:
        return []
    repeated = re.search(rf"^\s*\[\[\s*{re.escape(header)}\s*\]\]", text, re.MULTILINE)
    return [*header.split("."), *([str(index)] if repeated else [])]


def _fields(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that the model at ``location`` inside ``model`` knows."""
    current: Any = model
    for key in location:
        field = getattr(current, "model_fields", {}).get(str(key))
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        current = inner[0] if inner else current
    return list(current.model_fields)
