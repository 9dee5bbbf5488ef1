"""Pruning until a share of the latency is left: predicted for a device, or measured here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd import device
from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.runtimes.onnx_graph import describe
from edgekd.stages import export_onnx, prune, student
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.targets.predicted import median_s

LABELS_ALONE = [{"use": "labels"}]
PIXEL = device.load("pixel8")


def apart(context: Context, name: str) -> Context:
    (context.scratch / name).mkdir()
    return replace(context, scratch=context.scratch / name, partial=context.partial / name)


@pytest.fixture
def start(context: Context, weights: Path) -> Artifact:
    """A student wide enough for its work to count, with biases as after learning: the exporter drops those of zeros."""
    assert weights
    config = student.Config(model="tinynet:student", options={"width": 64}, code_sha256="")
    path = student.run((), config, apart(context, "start")).path
    module, spec = loading.load(path)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.bias.copy_(torch.linspace(0.1, 0.2, len(part.bias)))
    loading.save(module, spec, path)
    return Artifact(key="k", kind=Kind.TORCH, path=path, sha256="", size_bytes=1, made_by="", inputs=(), facts={})


def pruned(start: Artifact, context: Context, name: str, **options: Any) -> Product:
    config = prune.Config(epochs=1, batch_size=70, losses=LABELS_ALONE, **options)
    return prune.run((start,), config, apart(context, name))


def predicted(path: Path, context: Context, name: str) -> float:
    """Of the file that a network's weights become."""
    export_onnx.write(loading.load(path)[0], context.task(), context.scratch / f"{name}.onnx")
    return median_s(describe(context.scratch / f"{name}.onnx"), PIXEL).point


def test_the_work_is_cut_until_the_predicted_latency_is_low_enough(start: Artifact, context: Context) -> None:
    made = pruned(start, context, "predicted", latency_kept=0.7, device=PIXEL)
    found = made.facts["latency"]
    ratio = predicted(made.path, context, "after") / predicted(start.path, context, "before")
    assert found["share"] == pytest.approx(ratio, rel=1e-6)
    assert 0.6 < ratio <= 0.7
    assert found["share"] == max(share for share in found["tried"].values() if share <= 0.7)
    assert any(share > 0.7 for share in found["tried"].values())
    assert f"{ratio:.0%} of the latency (predicted for Google Pixel 8)" in made.facts["summary"]
    assert made.facts["macs_after"] < made.facts["macs_before"]


def test_latency_is_measured_where_nothing_is_predicted(start: Artifact, context: Context) -> None:
    made = pruned(start, context, "measured", latency_kept=0.9)
    assert made.facts["latency"]["share"] <= 0.9
    assert "of the latency (measured on this host)" in made.facts["summary"]
    config = prune.Config(epochs=2, batch_size=70, losses=LABELS_ALONE, latency_kept=0.9)
    again = prune.run((start,), config, replace(context, partial=context.partial / "measured"))
    assert again.facts["latency"] == made.facts["latency"], "a run that goes on prunes to what its checkpoint fits"
    assert len(again.facts["epoch_losses"]) == 2


def test_a_latency_that_no_network_has_is_refused(start: Artifact, context: Context) -> None:
    with pytest.raises(BadInputError, match="100% of the latency at the least, expected at most 70%") as caught:
        pruned(start, context, "least", latency_kept=0.7, round_to=256, device=PIXEL)
    assert caught.value.hint == "raise latency_kept, lower round_to, or use a wider student"
