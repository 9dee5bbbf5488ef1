"""Work by kind, from real files and for the networks of published rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.runtimes.onnx_graph import describe
from edgekd.targets.load import Load, load_of

ROOT = Path(__file__).parents[2]


def work(tmp_path: Path, weights: tuple[int, ...], *, stride: int = 1, groups: int = 1) -> Load:
    """Of one convolution of 16 x 16 places that keeps their number but for its stride."""
    inputs, side, places = weights[1] * groups, weights[2], 16 // stride
    padding = [side // 2] * 4
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=padding, strides=[stride] * 2, group=groups)
    constants = {"w": np.ones(weights, "float32"), "b": np.ones(weights[:1], "float32")}
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, inputs, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, weights[0], places, places])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return load_of(describe(path))


@pytest.mark.parametrize(
    ("weights", "stride", "groups", "kind"),
    [
        ((32, 16, 3, 3), 1, 1, "winograd"),
        ((32, 16, 3, 3), 2, 1, "wide"),
        ((32, 3, 3, 3), 1, 1, "wide"),  # too few channels to transform
        ((32, 16, 5, 5), 1, 1, "wide"),
        ((48, 16, 3, 3), 1, 3, "wide"),
        ((32, 16, 1, 1), 1, 1, "pointwise"),
    ],
)
def test_convolutions_by_what_computes_them(
    tmp_path: Path, weights: tuple[int, ...], stride: int, groups: int, kind: str
) -> None:
    found = work(tmp_path, weights, stride=stride, groups=groups)
    macs = (16 // stride) ** 2 * int(np.prod(weights))
    counted = {name: getattr(found, name) for name in ("pointwise", "wide", "winograd", "depthwise", "dense")}
    assert counted == {**dict.fromkeys(counted, 0.0), kind: macs}
    assert found.read == 16 * 16 * weights[1] * groups
    assert found.transformed == (found.read + found.values if kind == "winograd" else 0)
    assert found.unpacked == 0


def test_channels_that_do_not_fill_vectors(tmp_path: Path) -> None:
    found = work(tmp_path, (126, 16, 3, 3))
    assert found.unpacked == found.winograd > 0


def test_published_networks_have_the_work_that_is_described() -> None:
    """Also against the totals that authors print, and no network stands under two names."""
    check = [sys.executable, ROOT / "scripts" / "count_work.py", "--check"]
    assert subprocess.run(check, capture_output=True, text=True, check=False).stderr == ""
