"""NNCF's post-training quantization of an ONNX file.

Default: nncf.quantize as it is. Best: for images the slower and better bias correction, for a text encoder the model
type
'transformer', which adds SmoothQuant and leaves attention's scores alone (with the slower correction as well, NNCF
3.4.0 ends in 'Duplicate definition-site for (node_layer_norm_0_0/nncf_smooth_quant_output)')
(https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import onnx
from quantizing.rivals.given import Given, read


def main(given: Given) -> None:
    nncf: Any = import_module("nncf")
    more: dict[str, Any] = {}
    if given.best:
        more = {"model_type": nncf.ModelType.TRANSFORMER} if given.is_text else {"fast_bias_correction": False}
        more |= {"subset_size": 300}
    made = nncf.quantize(onnx.load(given.model), nncf.Dataset(given.rows), **more)
    onnx.save(made, given.target)


if __name__ == "__main__":
    main(read())
