"""The runtimes that models are shipped for: load a file, run it, describe it. A module each, and one line here."""

from pathlib import Path
from types import ModuleType

from edgekd.artifact import Kind
from edgekd.errors import BadInputError
from edgekd.runtimes import onnxruntime, tflite

RUNTIMES: dict[str, ModuleType] = {onnxruntime.NAME: onnxruntime, tflite.NAME: tflite}
BY_KIND: dict[Kind, ModuleType] = {Kind.ONNX: onnxruntime, Kind.TFLITE: tflite}


def for_file(path: Path) -> ModuleType:
    """The runtime of a model file, by its ending."""
    for runtime in RUNTIMES.values():
        if path.suffix == runtime.SUFFIX:
            return runtime
    raise BadInputError(f"{path}: found the ending {path.suffix!r}, expected .onnx or .tflite")
