"""What to try about a missed limit: each figure is measured in this run, or predicted for a variant of its own file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from workshop import Built

import edgekd
from edgekd import device, executor, findings
from edgekd.evidence import Findings
from edgekd.limits import parse_option
from edgekd.progress import Quiet
from edgekd.remedies import narrowed
from edgekd.report.model import CheckRow
from edgekd.runtimes import onnxruntime
from edgekd.store import Store
from edgekd.targets import predicted


@pytest.fixture
def found(built: Built, monkeypatch: pytest.MonkeyPatch) -> Findings:
    """What the session's build made."""
    monkeypatch.chdir(built.workshop.folder)
    plan = edgekd.plan("tiny.toml", "pixel8", output=built.output, quick=True)
    return Findings(plan, executor.run(plan, Store(built.output / ".store"), Quiet()))


def judged(found: Findings, rule: str, artifact: str = "onnx_int8") -> CheckRow:
    """The check of that rule alone."""
    limit = parse_option(rule)
    again = Findings(replace(found.plan, limits=(limit,)), found.steps)
    again.__dict__.update({name: found.__dict__[name] for name in ("outputs", "measured") if name in found.__dict__})
    rows = findings.report(again, 0.0).checks
    return next(row for row in rows if (row.artifact, row.limit) == (artifact, limit.text))


def test_a_narrower_student_is_predicted_as_the_file_itself_is(found: Findings) -> None:
    row = judged(found, "latency_p95<=1us")
    assert row.verdict == "fail"
    assert row.excess.startswith("p95 latency ")
    (narrower,) = [each for each in row.tries if "[student]" in each.text]
    assert (narrower.text, narrower.provenance) == ("a [student] of 0.25 of its width", "predicted")
    graph = narrowed(found.graphs["onnx_int8"], 0.25)
    latency = predicted.predict(graph, found.plan.device, "", 0)[0].predicted["p95"]
    assert (narrower.point, narrower.lower, narrower.upper) == (latency.point, latency.lower, latency.upper)
    assert narrower.point is not None
    assert row.point is not None
    assert narrower.point < row.point
    assert narrower.verdict == "fail", "and it says so where even that is not enough"


def test_the_widest_student_that_meets_the_limit_is_named(found: Findings) -> None:
    sizes = {share: narrowed(found.graphs["onnx_int8"], share).weight_bytes for share in (1, 0.75, 0.5)}
    size = found.files["onnx_int8"].size_bytes
    wanted = size - (sizes[1] - sizes[0.5])
    row = judged(found, f"size<={wanted}B")
    assert [(each.text, each.point, each.verdict) for each in row.tries] == [
        ("a [student] of 0.5 of its width", wanted, "pass")
    ]


def test_the_other_file_comes_first_where_it_meets_the_limit(found: Findings) -> None:
    sizes = {name: found.files[name].size_bytes for name in found.shipped}
    assert sizes["onnx_int8"] < sizes["tflite_int8"]
    row = judged(found, f"size<={sizes['onnx_int8']}B", "tflite_int8")
    first = row.tries[0]
    assert (first.text, first.provenance) == ("shipping onnx_int8 instead", "on_host")
    assert (first.point, first.verdict) == (sizes["onnx_int8"], "pass")


def test_lost_quality_is_traced_to_rounding_or_to_pruning(found: Findings) -> None:
    scores = np.zeros(60)
    scores[:12] = 1
    found.outputs["onnx_int8"]["scores"] = scores
    row = judged(found, "quality>=94% of teacher")
    assert row.excess == "quality 20.0 %, 74.0 points short of 94.0 %"
    assert [(each.text.partition(":")[0], each.provenance, each.verdict) for each in row.tries] == [
        ("shipping tflite_int8 instead", "on_host", row.tries[0].verdict),
        ("keeping operators in float (keep_float in 'quantize'), or 'qat'", "on_host", row.tries[1].verdict),
        ("pruning less (macs_kept in 'prune')", "on_host", row.tries[2].verdict),
    ]
    assert [each.point for each in row.tries] == [1.0, 1.0, 1.0], "of the teacher's, as measured"


def test_on_this_machine_nothing_is_predicted_and_the_float_file_was_measured(found: Findings) -> None:
    here = Findings(replace(found.plan, device=device.load("host")), found.steps)
    latency = next(each for each in here.measured["onnx_float"] if each.metric == "latency")
    slow = replace(latency, artifact="onnx_int8", values=tuple(1 + value for value in latency.values))
    here.__dict__["measured"] = {**here.measured, "onnx_int8": (slow,)}
    row = judged(here, "latency_p50<=1s")
    assert row.excess.startswith("p50 latency 1.00 s, ")
    points = {each.text: (each.provenance, each.point, each.verdict) for each in row.tries}
    assert points.keys() == {"shipping tflite_int8 instead", "shipping onnx_float, the same in float"}
    in_float = points["shipping onnx_float, the same in float"]
    assert in_float == ("on_host", latency.percentile(50), "pass")


def test_what_is_met_needs_nothing(found: Findings) -> None:
    row = judged(found, "size<=1MB")
    assert (row.verdict, row.excess, row.tries) == ("pass", "", ())


def network(path: Path, width: int) -> Path:
    """Two convolutions, a depthwise one, and a dense layer, ``width`` channels wide."""
    shapes = {
        "first": (width, 3, 3, 3),
        "second": (width, width, 3, 3),
        "each": (width, 1, 3, 3),
        "dense": (width, 10),
    }
    constants = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "second"], ["b"], pads=[1] * 4),
        helper.make_node("Conv", ["b", "each"], ["c"], pads=[1] * 4, group=width),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "dense"], ["y"]),
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])]
    taken = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])]
    graph = helper.make_graph(nodes, "net", given, taken, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_narrowed_graph_is_that_of_a_network_made_so_narrow(tmp_path: Path) -> None:
    wide, narrow = (onnxruntime.describe(network(tmp_path / f"{width}.onnx", width)) for width in (16, 8))
    made = narrowed(wide, 0.5)
    assert [each.macs for each in made.operators] == [each.macs for each in narrow.operators]
    assert [each.weights for each in made.operators] == [each.weights for each in narrow.operators]
    assert [each.kernel for each in made.operators] == [each.kernel for each in narrow.operators]
    assert made.weight_bytes == narrow.weight_bytes
    assert made.activation_peak_bytes == pytest.approx(narrow.activation_peak_bytes, rel=0.1)
