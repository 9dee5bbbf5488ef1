"""Installed: the distributions that run a teacher, with their versions, since a new version may give other outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

# What runs each form of a teacher: of each line the distributions of which one or more are installed.
RUN_BY: dict[str, tuple[tuple[str, ...], ...]] = {
    "model": (("torch",),),
    "encoder": (("torch",), ("transformers",)),
    "onnx": (("onnxruntime",),),
    "keras": (("keras",), ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tensorflow-rocm")),
    "outputs": (("pyarrow",),),
}


def versions(forms: Iterable[str]) -> tuple[str, ...]:
    """'NAME==VERSION' of all that runs teachers of ``forms``, told without importing any of it; sorted.

    >>> [each.partition("==")[0] for each in versions(["encoder", "onnx", "model"])]
    ['onnxruntime', 'torch', 'transformers']
    """
    return tuple(sorted({each for form in forms for names in RUN_BY[form] for each in _found(names)}))


def _found(names: tuple[str, ...]) -> Iterator[str]:
    """Those of ``names`` that are installed; the first is said to be absent where none is."""
    known = [(name, found) for name in names if (found := _version(name)) is not None]
    for name, found in known or [(names[0], "absent")]:
        yield f"{name}=={found}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
