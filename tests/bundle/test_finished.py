"""The files that a build ships: they say what the manifest says, and compute what was measured."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from workshop import PIPELINE, Built, Workshop

from edgekd import pipeline
from edgekd.bundle import facts, manifest, onnx_metadata, tflite_metadata
from edgekd.bundle.draft import Asked, Draft
from edgekd.bundle.golden import GoldenIndex, load
from edgekd.device import load as load_device
from edgekd.errors import BadInputError
from edgekd.planning import Options, make
from edgekd.runtimes import for_file
from edgekd.tasks.image_classification import ImageClassification, prepare


def run_folder(built: Built) -> Path:
    return built.workshop.folder / built.run_folder


def test_files_and_manifest_tell_the_same(built: Built) -> None:
    folder = run_folder(built) / "bundle"
    told = manifest.read(folder / "manifest.json")
    onnx = onnx_metadata.read_metadata((folder / "model.onnx").read_bytes())
    assert onnx == (facts.of(told, "model.onnx"), tiny.CLASSES)
    tflite = tflite_metadata.read_metadata((folder / "model.tflite").read_bytes())
    assert tflite is not None
    assert tflite.outputs[0].labels == tiny.CLASSES
    assert tflite.inputs[0].mean == (127.5,)
    for model in told.models:
        runner = for_file(folder / model.file).Runner(folder / model.file, 1)
        assert [each.name for each in runner.takes] == [each.name for each in model.inputs]
        assert [each.name for each in runner.gives] == [each.name for each in model.outputs]
        measured = (run_folder(built) / model.file).read_bytes()
        assert model.measured_sha256 == hashlib.sha256(measured).hexdigest() != model.sha256


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_shipped_files_compute_what_was_measured(built: Built, name: str) -> None:
    rows = [{"image": prepare(tiny.data().test.images[:20])}]
    paths = (run_folder(built) / name, run_folder(built) / "bundle" / name)
    first, second = (for_file(path).Runner(path, 1).run(rows) for path in paths)
    assert np.array_equal(first, second)


def test_the_card_tells_of_mediapipe(built: Built) -> None:
    card = (run_folder(built) / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "model.tflite is all that MediaPipe Tasks needs." in card


def test_an_onnx_file_that_takes_bytes(built: Built, tmp_path: Path) -> None:
    """Its golden inputs are the images' bytes, its outputs those of the file that takes prepared images."""
    task = ImageClassification(tiny.data(), 30)
    asked = Asked("n", "d", "image-classification", "x", 16, (), "h", resized=False, temperatures={})
    made = {}
    for inside in (False, True):
        (scratch := tmp_path / str(inside)).mkdir()
        draft = Draft(task, replace(asked, in_graph=inside), seed=5, scratch=scratch)
        for place, content in draft.files({"model.onnx": run_folder(built) / "model.onnx"}).items():
            (scratch / place).parent.mkdir(parents=True, exist_ok=True)
            (scratch / place).write_bytes(content)
        index = GoldenIndex.model_validate_json((scratch / "golden/golden.json").read_text())
        made[inside] = [each.models["model.onnx"] for each in index.items]
    told = manifest.read(tmp_path / "True" / "draft.json")
    assert told.models[0].inputs[0].name == "image_bytes"
    assert (told.models[0].inputs[0].dtype, told.models[0].inputs[0].shape) == ("uint8", (1, tiny.SIZE, tiny.SIZE, 3))
    assert isinstance(told.preprocessing, manifest.ImagePreprocessing)
    assert told.preprocessing.in_graph == ("model.onnx",)
    for outside, inside in zip(made[False], made[True], strict=True):
        image = load(tmp_path / "True", inside.inputs[0])
        assert np.array_equal(prepare(image), load(tmp_path / "False", outside.inputs[0]))
        first, second = (
            load(tmp_path / str(name), each.outputs[0]) for name, each in ((False, outside), (True, inside))
        )
        assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('preprocessing = "inside"', "'outside' or 'in_graph'"),
        ("golden = 0", "greater than or equal to 1"),
    ],
)
def test_the_table_bundle_is_checked(workshop: Workshop, table: str, why: str) -> None:
    name = workshop.pipeline("odd", PIPELINE.replace("[parity]", f"[bundle]\n{table}\n\n[parity]"))
    with pytest.raises(BadInputError, match=why):
        pipeline.load(str(workshop.folder / name))


def test_the_table_of_the_docs_loads(workshop: Workshop) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mediapipe.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    name = workshop.pipeline("told", PIPELINE.replace("[parity]", f"{table}\n[parity]"))
    found = pipeline.load(str(workshop.folder / name)).bundle
    assert (found.preprocessing, found.golden) == ("in_graph", 16)


def test_in_graph_without_onnx_is_refused(workshop: Workshop) -> None:
    text = PIPELINE.replace("[parity]", '[bundle]\npreprocessing = "in_graph"\n\n[parity]')
    name = workshop.pipeline("odd", text.replace('["onnx", "tflite"]', '["tflite"]'))
    with pytest.raises(BadInputError, match="no ONNX file"):
        make(pipeline.load(str(workshop.folder / name)), load_device("pixel8"), Options())
