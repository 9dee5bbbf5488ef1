"""Find what 'module:function' names, in the installed packages or in the working folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from edgekd.errors import BadInputError, nearest


def function(name: str, where: str) -> Callable[..., Any]:
    """Import and return the function ``name`` ('module:function').

    Raises:
        BadInputError: not of that form, no such module, or no such function in it.

    """
    module_name, _, attribute = name.partition(":")
    if not attribute:
        raise BadInputError(f"{where}: found {name!r}, expected 'module:function'")
    source(name, where)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a user's module does when it is imported
        raise BadInputError(
            f"{where}: found {name!r}, whose module can't be imported: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise BadInputError(f"{where}: found no function {attribute!r} in {module_name}", nearest(attribute, public))
    return found  # type: ignore[no-any-return]


def source(name: str, where: str) -> Path:
    """The file of ``name``'s module, found without importing it.

    Raises:
        BadInputError: no such module.

    """
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    module_name = name.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.has_location:
        raise BadInputError(
            f"{where}: found the module {module_name!r}, which is neither installed nor in {folder}",
            "run edgekd in the folder that holds it, or install it",
        )
    return Path(spec.origin)


def digest(name: str, where: str) -> str:
    """SHA-256 of the module's file: a change of its code makes new artifacts."""
    return sha256(source(name, where).read_bytes()).hexdigest()
