"""optimum-onnx: its ORTQuantizer with its own configuration for this processor (AVX-512 VNNI).

Default: that configuration, static for images and dynamic for texts, all else as it is.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from quantizing.rivals.given import Given, read


def main(given: Given) -> None:
    library: Any = import_module("optimum.onnxruntime")
    settings: Any = import_module("optimum.onnxruntime.configuration")
    chosen = settings.AutoQuantizationConfig.avx512_vnni(is_static=not given.is_text, per_channel=False)
    with tempfile.TemporaryDirectory() as folder:
        quantizer = library.ORTQuantizer(given.model)
        ranges = None if given.is_text else fitted(quantizer, chosen, settings, given)
        quantizer.quantize(
            save_dir=folder, quantization_config=chosen, calibration_tensors_range=ranges, file_suffix="int8"
        )
        shutil.copy(next(Path(folder).glob("*_int8.onnx")), given.target)


def fitted(quantizer: Any, chosen: Any, settings: Any, given: Given) -> Any:
    """The ranges of all rows, by its default method."""
    datasets: Any = import_module("datasets")
    rows = {name: [row[name][0] for row in given.rows] for name in given.rows[0]}
    calibration = settings.AutoCalibrationConfig.minmax(datasets.Dataset.from_dict(rows).with_format("numpy"))
    return quantizer.fit(
        dataset=datasets.Dataset.from_dict(rows).with_format("numpy"),
        calibration_config=calibration,
        operators_to_quantize=chosen.operators_to_quantize,
    )


if __name__ == "__main__":
    main(read())
