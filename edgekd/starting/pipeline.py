"""The text of a first pipeline, with comments that say what can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.stages.calibration import LEAST
from edgekd.starting.data import Found, quoted
from edgekd.starting.teacher import Teacher

RUNTIMES = {"onnx": "onnxruntime", "tflite": "tflite"}
SELECTION, CALIBRATION = 500, 300  # rows, where there are enough
EPOCHS = {"text-embedding": 3, "text-classification": 4, "image-classification": 12}


def text(data: Found, teacher: Teacher, device: Device) -> str:
    """The whole file."""
    return "\n".join(_lines(data, teacher, device)) + "\n"


def _lines(data: Found, teacher: Teacher, device: Device) -> Iterator[str]:
    selection, calibration = _rows(data)
    yield f"# Written by edgekd init. Try it: edgekd plan {data.name}.toml --device {device.name}"
    yield f"task = {quoted(data.task)}"
    yield "seed = 1"
    yield "\n[data] # docs/data.md"
    yield from data.lines
    yield f"selection = {selection} # training rows kept for choosing, never trained on"
    if data.image_side:
        yield f"image_size = {data.image_side} # all images are brought to it; smaller is faster"
    yield "\n[teacher]"
    yield from teacher.lines
    yield "\n[student]"
    yield from teacher.student
    yield '\n[[stages]]\nuse = "distill" # its options: edgekd stages distill'
    yield f"epochs = {EPOCHS[data.task]} # more are better, up to a point"
    yield '\n[[stages]]\nuse = "export"'
    yield f"formats = {_formats(device)}"
    yield '\n[[stages]]\nuse = "quantize"'
    yield f"calibration_samples = {calibration} # training rows that set the ranges"
    yield f"\n[budget] # yours to set; beside it holds the device's own: edgekd devices show {device.name}"
    if teacher.size:
        yield f'size = "<= {teacher.size}"'
    yield 'quality = ">= 90 % of teacher"'


def _rows(data: Found) -> tuple[int, int]:
    """For choosing, and for calibration: a tenth and a half at most, the same number of each class."""
    classes = max(data.classes, 1)
    selection = min(-(-SELECTION // classes), max(1, data.fewest // 10)) * classes
    calibration = min(CALIBRATION, classes * (data.fewest // 2))
    if calibration < LEAST or data.fewest < 4:
        raise BadInputError(
            f"found {data.fewest} training rows{' of the rarest class' if data.classes else ''}, expected more: "
            f"{LEAST} are needed to set the ranges of INT8 alone",
            "add data",
        )
    return selection, calibration


def _formats(device: Device) -> str:
    """Those that the device runs; TFLite where its converter is installed."""
    able = [form for form, runtime in RUNTIMES.items() if runtime in device.runtimes]
    here = [form for form in able if form != "tflite" or find_spec("litert_torch") is not None] or able
    listed = "[" + ", ".join(quoted(form) for form in here) + "]"
    return listed if here == able else f"{listed} # \"tflite\" needs: pip install 'edgekd[tflite]'"
