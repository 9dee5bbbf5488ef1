"""Export to TFLite by litert-torch: NHWC input, as a phone's camera gives it."""

from __future__ import annotations

from edgekd.artifact import Artifact, Kind
from edgekd.errors import MissingExtraError
from edgekd.stages.base import Context, NoConfig
from edgekd.store import Product

VERSION = 1
CONSUMES = ((Kind.TORCH,),)
PRODUCES = Kind.TFLITE
LIBRARIES = ("torch", "litert-torch", "litert-converter")
READS_DATA = True
Config = NoConfig


def run(inputs: tuple[Artifact, ...], _config: NoConfig, context: Context) -> Product:
    """Write ``model.tflite``: input (1, H, W, 3) float32, output (1, classes)."""
    from edgekd.models import loading, quiet

    module, _ = loading.load(inputs[0].path)
    height, width = context.data.set.shape()
    path = context.scratch / "model.tflite"
    with quiet.frameworks(), quiet.native_stderr():
        import torch

        try:
            import litert_torch
        except ImportError:
            raise MissingExtraError("litert-torch", "tflite", "the export to TFLite") from None
        channels_last = litert_torch.to_channel_last_io(module, args=[0])
        litert_torch.convert(channels_last, (torch.zeros(1, height, width, 3),)).export(str(path))
    versions = operator_versions(path)
    return Product(path, {"operator_versions": versions, "summary": f"{len(versions)} kinds of operators"})


def operator_versions(path: object) -> dict[str, int]:
    """The builtin operators that the file uses, with the version of each."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    with open(str(path), "rb") as file:
        model = schema.ModelT.InitFromPackedBuf(file.read(), 0)
    return {names[max(code.builtinCode, code.deprecatedBuiltinCode)]: code.version for code in model.operatorCodes}
