"""Take a teacher's file as it is: an ONNX or Keras model, or a Parquet table of outputs made elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.algorithms import softmax
from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError, StageError
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks.base import Outputs, Task
from edgekd.toml_file import Frozen

if TYPE_CHECKING:
    from edgekd.models.predicting import Predictor

LOOKED_AT = 64  # training rows whose outputs tell whether a file ends with a softmax
WHOLE = "a file whose weights lie beside it is made whole by: onnx.save(onnx.load('IN.onnx'), 'OUT.onnx')"


class ForeignConfig(Frozen):
    """Which file; its digest decides, and what runs it."""

    weights: Path
    weights_sha256: str
    runtimes: tuple[str, ...] = ()  # what runs it, as 'NAME==VERSION'


@dataclass(frozen=True)
class Foreign:
    """The stage for one kind of model file."""

    PRODUCES: Kind
    LIBRARIES: tuple[str, ...] = ("numpy",)  # and the config's
    VERSION: int = 2
    CONSUMES: tuple[tuple[Kind, ...], ...] = ((Kind.TOKENIZER,),)  # of a model that takes texts
    READS_DATA: bool = True
    Config: type[Frozen] = ForeignConfig

    def run(self, inputs: tuple[Artifact, ...], config: ForeignConfig, context: Context) -> Product:
        """Copy the file into the store, and refuse one that can't be opened or doesn't fit the task."""
        from edgekd.models import predicting

        path = context.scratch / f"teacher{config.weights.suffix}"
        shutil.copyfile(config.weights, path)
        task = context.task(inputs)
        model = _opened(path, self.PRODUCES, config.weights, context.threads)
        predicting.check_outputs(model, task, "teacher")
        facts: dict[str, Any] = {"summary": f"{config.weights.name}, {path.stat().st_size / 1e6:,.1f} MB"}
        if task.outputs is Outputs.LOGITS and softmax.is_softmax(_first_outputs(model, task)):
            facts |= {predicting.SOFTMAX: True, "summary": f"{facts['summary']}, whose probabilities are made logits"}
        return Product(path, facts)


@dataclass(frozen=True)
class ForeignTable(Foreign):
    """The stage for a table of outputs."""

    def run(self, inputs: tuple[Artifact, ...], config: ForeignConfig, context: Context) -> Product:
        """Write the table so that it can be mapped into memory, and refuse one that doesn't fit the task."""
        from edgekd.models import outputs_table, predicting

        path = context.scratch / "teacher.arrow"
        task = context.task(inputs)
        width = outputs_table.convert(config.weights, path, task.outputs)
        model = _opened(path, self.PRODUCES, config.weights, context.threads)
        predicting.check_outputs(model, task, "teacher")
        if task.outputs is Outputs.LOGITS and softmax.is_softmax(_first_outputs(model, task)):
            raise BadInputError(
                f"{config.weights}: found probabilities in the column 'output', expected logits",
                "call the column 'probabilities'",
            )
        return Product(path, {"summary": f"{config.weights.name}, {width} values a row"})


def _opened(path: Path, kind: Kind, given: Path, threads: int) -> Predictor:
    """Open our copy of the file ``given``; what can't be opened is the user's to change."""
    from edgekd.models import predicting

    copy = Artifact(key="", kind=kind, path=path, sha256="", size_bytes=0, made_by="", inputs=())
    try:
        return predicting.open_model(copy, threads)
    except StageError as error:
        hint = WHOLE if kind is Kind.ONNX else error.hint
        raise BadInputError(f"[teacher] {kind}: {error.message.replace(str(path), str(given))}", hint) from error


def _first_outputs(model: Predictor, task: Task) -> Any:
    return model.outputs(task, "train", np.arange(min(LOOKED_AT, task.count("train"))))


ONNX = Foreign(Kind.ONNX)
KERAS = Foreign(Kind.KERAS)
TABLE = ForeignTable(Kind.TABLE)
