"""Take a teacher's file as it is: an ONNX or Keras model, or a Parquet table of outputs made elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen


class ForeignConfig(Frozen):
    """Which file; its digest decides."""

    weights: Path
    weights_sha256: str


@dataclass(frozen=True)
class Foreign:
    """The stage for one kind of file."""

    PRODUCES: Kind
    LIBRARIES: tuple[str, ...]
    VERSION: int = 1
    CONSUMES: tuple[tuple[Kind, ...], ...] = ((Kind.TOKENIZER,),)  # of a model that takes texts
    READS_DATA: bool = True
    Config: type[Frozen] = ForeignConfig

    def run(self, inputs: tuple[Artifact, ...], config: ForeignConfig, context: Context) -> Product:
        """Copy the file into the store, and refuse one that can't be opened or doesn't fit the task."""
        from edgekd.models import predicting

        path = context.scratch / f"teacher{config.weights.suffix}"
        shutil.copyfile(config.weights, path)
        size = path.stat().st_size
        copy = Artifact(
            key="", kind=self.PRODUCES, path=path, sha256="", size_bytes=size, made_by="", inputs=(), facts={}
        )
        predicting.check_outputs(predicting.open_model(copy, context.threads), context.task(inputs), "teacher")
        return Product(path, {"summary": f"{config.weights.name}, {size / 1e6:,.1f} MB"})


ONNX = Foreign(Kind.ONNX, ("onnxruntime",))
KERAS = Foreign(Kind.KERAS, ("tensorflow",))
TABLE = Foreign(Kind.TABLE, ("pyarrow",))
