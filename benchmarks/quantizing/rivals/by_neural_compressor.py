"""onnx-neural-compressor, to which Neural Compressor gave ONNX files: StaticQuantConfig and DynamicQuantConfig."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx
from quantizing.rivals.given import Given, Reader, read


def main(given: Given) -> None:
    library: Any = import_module("onnx_neural_compressor.quantization")
    settings: Any = import_module("onnx_neural_compressor.quantization.config")
    reading: Any = import_module("onnx_neural_compressor.data_reader").CalibrationDataReader
    rows = type("Rows", (Reader, reading), {})(given.rows)
    chosen = settings.DynamicQuantConfig() if given.is_text else settings.StaticQuantConfig(rows)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.onnx"
        library.quantize(str(given.model), str(made), chosen)
        onnx.save(onnx.load(made), given.target)  # it keeps weights in a second file


if __name__ == "__main__":
    main(read())
