"""onnxruntime.quantization.

Default: quantize_static and quantize_dynamic as they are. Best: what its documentation recommends for this processor:
pre-processing, weights per channel, unsigned activations (https://onnxruntime.ai/docs/performance/model-optimizations).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationDataReader, QuantType, quant_pre_process, quantize_dynamic
from onnxruntime.quantization import quantize_static as static
from quantizing.rivals.given import Given, Reader, read


class Rows(Reader, CalibrationDataReader):  # type: ignore[misc] # a class of onnxruntime's, which has no types
    """The rows, by its interface."""


def main(given: Given) -> None:
    best: dict[str, Any] = {"per_channel": True} if given.best else {}
    if given.is_text:
        quantize_dynamic(given.model, given.target, weight_type=QuantType.QInt8, **best)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = given.model
        if given.best:
            model = Path(folder) / "prepared.onnx"
            quant_pre_process(given.model, model)
            best |= {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        static(model, given.target, Rows(given.rows), **best)


if __name__ == "__main__":
    main(read())
