"""Ours: edgekd's quantizers as a pipeline runs them, on the rows that the rivals get."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekd.targets.isa import host_isa
from quantizing.subject import Subject, artifact, context

FACTS = "facts.json"


def quantize(subject: Subject, form: str, folder: Path) -> Mapping[str, Any]:
    """Write ``model.FORM``, by the defaults of ``use = "quantize"`` for this machine, and return its facts.

    The other candidates stay beside it, and the facts. What is there is taken.
    """
    from edgekd.stages import quantize_onnx, quantize_tflite

    note = folder / FACTS
    if not note.is_file():
        stage = {"onnx": quantize_onnx, "tflite": quantize_tflite}[form]
        shutil.rmtree(folder, ignore_errors=True)
        config = stage.Config(isa=host_isa(), machine="benchmark")
        inputs = (artifact(subject.files[form]), artifact(subject.calibration))
        made = stage.run(inputs, config, context(folder))
        note.write_text(json.dumps(made.facts, indent=1) + "\n")
    return said(folder)


def said(folder: Path) -> Mapping[str, Any]:
    """The facts of what was made there; none of nothing."""
    note = folder / FACTS
    found: Mapping[str, Any] = json.loads(note.read_text()) if note.is_file() else {}
    return found


def candidates(form: str, folder: Path) -> dict[str, Path]:
    """The file that was chosen, as 'auto', and the others by the names of their recipes."""
    files = {name: folder / f"{name}.{form}" for name in said(folder).get("candidates", ())}
    chosen = {"auto": folder / f"model.{form}"} if files else {}
    return chosen | {name: path for name, path in files.items() if path.is_file()}
