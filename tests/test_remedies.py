"""What to try about a missed limit: each figure is measured in this run, or predicted for a variant of its own file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from workshop import Built

import edgekd
from edgekd import device, executor, findings
from edgekd.evidence import Findings
from edgekd.limits import parse_option
from edgekd.progress import Quiet
from edgekd.report.model import CheckRow
from edgekd.runtimes import onnxruntime
from edgekd.store import Store
from edgekd.targets import predicted
from edgekd.variants import narrowed


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


def test_smaller_images_are_predicted_for_the_file_as_it_stands(found: Findings) -> None:
    row = judged(found, "latency_p95<=1us")
    (smaller,) = [each for each in row.tries if "images" in each.text]
    assert (smaller.text, smaller.provenance) == ("images of 6 x 6 pixels instead of 12 x 12", "predicted")
    graph = onnxruntime.resized(found.files["onnx_int8"].path, (6, 6))
    assert graph is not None
    assert graph.macs < found.graphs["onnx_int8"].macs / 2
    latency = predicted.predict(graph, found.plan.device, "", 0)[0].predicted["p95"]
    assert (smaller.point, smaller.lower, smaller.upper) == (latency.point, latency.lower, latency.upper)
    others = judged(found, "size<=1kB").tries + judged(found, "latency_p95<=1us", "tflite_int8").tries
    assert not [each for each in others if "images" in each.text], "a size doesn't depend on them; TFLite's is fixed"


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
