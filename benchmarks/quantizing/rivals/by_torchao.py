"""torchao: INT8 weights and dynamic INT8 activations of linear layers, in torch, as its documentation begins.

It writes no model file, so TARGET is an .npz: the outputs of all rows of CALIBRATION, which are the test rows here, and
the seconds of the turns of float and INT8 on the first row, by one thread of this process. FLOAT_MODEL are weights that
edgekd saved; edgekd is on the path to read them, and for nothing else.
"""

from __future__ import annotations

import copy
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from quantizing.rivals.given import Given, Row, read

from edgekd.models import loading
from edgekd.profile.turns import take_turns


def main(given: Given) -> None:
    torch.set_num_threads(1)
    library: Any = import_module("torchao.quantization")
    module, _ = loading.load(given.model)
    made = copy.deepcopy(module)
    library.quantize_(made, library.Int8DynamicActivationInt8WeightConfig())
    with torch.inference_mode():
        outputs = np.concatenate([run(made, row) for row in given.rows[1:]])
        seconds = take_turns([partial(run, each, given.rows[0]) for each in (module, made)])
    np.savez(given.target, allow_pickle=False, outputs=outputs, seconds=seconds)


def run(module: torch.nn.Module, row: Row) -> np.ndarray[Any, Any]:
    """The module's outputs of one row."""
    found: np.ndarray[Any, Any] = module(*(torch.from_numpy(values) for values in row.values())).numpy()
    return found


if __name__ == "__main__":
    main(read())
