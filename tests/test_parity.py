"""How the versions of the tiny student are compared, and what is said where one of them is damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workshop import Built

from edgekd import device, executor, parity, pipeline, planning
from edgekd.artifact import Artifact
from edgekd.evidence import Findings
from edgekd.judge import Verdict
from edgekd.models.predicting import open_model
from edgekd.progress import Quiet
from edgekd.quantizers.onnx_editing import Editor
from edgekd.store import Store


@pytest.fixture
def found(built: Built, monkeypatch: pytest.MonkeyPatch) -> Findings:
    """What the session's build made."""
    monkeypatch.chdir(built.workshop.folder)
    made = planning.make(pipeline.load("tiny.toml"), device.load("pixel8"), planning.Options(quick=True))
    return Findings(made, executor.run(made, Store(built.output / ".store"), Quiet()))


def with_outputs(found: Findings, scratch: Path, changed: dict[str, Artifact]) -> Findings:
    """The same build with other files of these names, run on the test images."""
    for name, artifact in list(changed.items()):
        task = found.plan.data.open(None, scratch)
        outputs = open_model(artifact, 1).outputs(task, "test", np.arange(task.count("test")))
        path = scratch / f"{name}.npz"
        np.savez(path, outputs=outputs, scores=task.score(outputs).scores)
        changed[f"evaluate {name}"] = replace(found.artifacts[f"evaluate {name}"], path=path)
    steps = [replace(step, artifact=changed.get(step.name, step.artifact)) for step in found.steps]
    return Findings(found.plan, tuple(steps))


def test_every_pair_is_compared(found: Findings) -> None:
    rows = {(row.first, row.second, row.metric): row for row in parity.rows(found)}
    floats = [("student_float", "onnx_float"), ("student_float", "tflite_float"), ("onnx_float", "tflite_float")]
    files = [("onnx_float", "onnx_int8"), ("tflite_float", "tflite_int8")]
    between = ("onnx_int8", "tflite_int8")
    expected = {(*pair, metric) for pair in floats for metric in ("max_abs", "cosine")}
    expected |= {(*pair, metric) for pair in files for metric in ("drop", "top1", "cosine")}
    assert rows.keys() == expected | {(*between, metric) for metric in ("top1", "cosine")}
    for pair in floats:
        assert rows[*pair, "max_abs"].value < 1e-4
        assert rows[*pair, "cosine"].value == pytest.approx(1, abs=1e-6)
    for pair in files:
        drop = rows[*pair, "drop"]
        lost = found.scores(pair[0]).mean() - found.scores(pair[1]).mean()
        assert drop.value == pytest.approx(lost / found.scores(pair[0]).mean())
        assert drop.lower is not None
        assert drop.upper is not None
        assert drop.lower < drop.value < drop.upper


def test_a_damaged_float_file_fails_and_its_operator_is_named(found: Findings, tmp_path: Path) -> None:
    editor = Editor.open(found.files["onnx_float"].path)
    damaged = editor.of_type("Conv")[1]
    weights = editor.constant(damaged.input[1]).copy()
    weights[3, 2, 1, 1] += 1
    editor.put(damaged.input[1], weights)
    editor.save(tmp_path / "model.onnx")
    artifact = replace(found.files["onnx_float"], path=tmp_path / "model.onnx")
    broken = with_outputs(found, tmp_path, {"onnx_float": artifact})
    checks = {
        (c.artifact, c.limit.split()[2]): c
        for c in parity.checks(tuple(parity.rows(broken)), broken)
        if "abs" in c.metric
    }
    with_torch, with_tflite = checks["onnx_float", "student_float"], checks["tflite_float", "onnx_float"]
    assert {with_torch.verdict, with_tflite.verdict} == {Verdict.FAIL}
    assert f"Conv {damaged.name!r} of onnx_float" in with_torch.advice
    assert "conv2d 'features.1.0.conv2d' of student_float" in with_torch.advice
    assert f"Conv {damaged.name!r} of onnx_float" in with_tflite.advice
    assert "CONV_2D" in with_tflite.advice
    assert checks["tflite_float", "student_float"].verdict is Verdict.PASS


def test_rounding_that_adds_up_is_told_from_a_broken_operator(found: Findings) -> None:
    strict = found.plan.pipeline.parity.model_copy(update={"float_max_abs": 1e-9})
    planned = replace(found.plan, pipeline=found.plan.pipeline.model_copy(update={"parity": strict}))
    narrow = Findings(planned, found.steps)
    missed = [each for each in parity.checks(tuple(parity.rows(narrow)), narrow) if each.metric == "parity_max_abs"]
    assert {each.verdict for each in missed} == {Verdict.FAIL}
    assert {each.advice for each in missed} == {
        "no operator sets them apart: rounding adds up; raise the limit in [parity] if that is harmless"
    }


@pytest.mark.parametrize(("lost", "verdict"), [(0, Verdict.PASS), (8, Verdict.INCONCLUSIVE), (40, Verdict.FAIL)])
def test_what_int8_loses_is_judged_by_its_interval(
    lost: int, verdict: Verdict, found: Findings, tmp_path: Path
) -> None:
    before = dict(np.load(found.artifacts["evaluate onnx_float"].path))
    scores = before["scores"].copy()
    scores[np.flatnonzero(scores)[:lost]] = 0
    np.savez(tmp_path / "worse.npz", **{**before, "scores": scores})
    changed = replace(found.artifacts["evaluate onnx_int8"], path=tmp_path / "worse.npz")
    steps = [replace(s, artifact=changed) if s.name == "evaluate onnx_int8" else s for s in found.steps]
    worse = Findings(found.plan, tuple(steps))
    (check,) = [
        each
        for each in parity.checks(tuple(parity.rows(worse)), worse)
        if (each.artifact, each.metric) == ("onnx_int8", "parity_drop")
    ]
    assert check.verdict is verdict
    assert bool(check.advice) is (verdict is not Verdict.PASS)
