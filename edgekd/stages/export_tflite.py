"""Export to TFLite by litert-torch: images channels last, as a phone's camera gives them; texts of one length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Kind
from edgekd.errors import MissingExtraError
from edgekd.stages.base import Context, NoConfig
from edgekd.store import Product
from edgekd.tasks.base import MASK, Arrays

VERSION = 3
CONSUMES = ((Kind.TORCH,),)
PRODUCES = Kind.TFLITE
LIBRARIES = ("torch", "litert-torch", "litert-converter")
READS_DATA = True
Config = NoConfig


def run(inputs: tuple[Artifact, ...], _config: NoConfig, context: Context) -> Product:
    """Write ``model.tflite``: images (1, H, W, C) float32, texts (1, length) int32; output (1, width)."""
    from edgekd.models import loading, quiet

    module, _ = loading.load(inputs[0].path)
    example, path = context.task(inputs).representative(), context.scratch / "model.tflite"
    with quiet.frameworks(), quiet.native_stderr():
        _export(module, example, path)
    versions = operator_versions(path)
    return Product(path, {"operator_versions": versions, "summary": f"{len(versions)} kinds of operators"})


def _export(module: Any, example: Arrays, path: Path) -> None:
    try:
        import litert_torch
    except ImportError:
        raise MissingExtraError("litert-torch", "tflite", "the export to TFLite") from None
    from edgekd.models.running import tensors

    if MASK in example:
        from edgekd.exporters import text_tflite

        text_tflite.export(module, path, example[MASK].shape[1])
        return
    inputs = tuple(each.contiguous() for each in tensors(example))
    images = [number for number, each in enumerate(inputs) if each.ndim == 4]
    if images:
        module = litert_torch.to_channel_last_io(module, args=images)
    shown = tuple(each.permute(0, 2, 3, 1).contiguous() if each.ndim == 4 else each for each in inputs)
    litert_torch.convert(module, shown).export(str(path))


def operator_versions(path: object) -> dict[str, int]:
    """The builtin operators that the file uses, with the version of each."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    with open(str(path), "rb") as file:
        model = schema.ModelT.InitFromPackedBuf(file.read(), 0)
    return {names[max(code.builtinCode, code.deprecatedBuiltinCode)]: code.version for code in model.operatorCodes}
