"""ONNX files say what they are, and prepare images themselves if asked to."""

from __future__ import annotations

import json
from pathlib import Path

import handmade
import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
import torch
from modelfiles import LABELS, image_facts, labels
from PIL import Image, ImageOps

from edgekd.bundle.manifest import ImagePreprocessing
from edgekd.bundle.onnx_metadata import read_metadata, with_metadata
from edgekd.bundle.onnx_prefix import with_image_prefix
from edgekd.errors import BadInputError
from edgekd.tasks.image_classification import prepare


@pytest.fixture(scope="module")
def model(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    handmade.write_onnx(path, weights, batch=1)
    return onnx.version_converter.convert_version(onnx.load(path), 20).SerializeToString()


def run(model: bytes, image: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: image})[0])


def image(**more: object) -> ImagePreprocessing:
    found = image_facts(**more).preprocessing
    assert isinstance(found, ImagePreprocessing)
    return found


def pixels() -> np.ndarray:
    return np.repeat(tiny.data().test.images[:8], 3, axis=3)


def test_facts_come_back_and_bytes_are_the_same(model: bytes) -> None:
    named = onnx.load_model_from_string(model)
    onnx.helper.set_model_props(named, {"onnx.infer": "onnxruntime.quant"})
    made = with_metadata(named.SerializeToString(), image_facts(), labels())
    assert made == with_metadata(made, image_facts(), labels())
    assert read_metadata(made) == (image_facts(), LABELS)
    props = {each.key: each.value for each in onnx.load_model_from_string(made).metadata_props}
    assert props["onnx.infer"] == "onnxruntime.quant"
    assert json.loads(props["edgekd.labels"]) == list(LABELS)
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == props  # what an app sees


@pytest.mark.parametrize("names", [("a, b", "🧥", "two\nlines", ""), tuple(map(str, range(10_000)))])
def test_no_label_is_lost(model: bytes, names: tuple[str, ...]) -> None:
    found = read_metadata(with_metadata(model, image_facts(), labels(names)))
    assert found is not None
    assert found[1] == names


def test_outputs_stay_the_same(model: bytes) -> None:
    (inputs,) = (prepare(pixels()[:1]),)
    assert np.array_equal(run(with_metadata(model, image_facts(), labels()), inputs), run(model, inputs))


def test_what_can_not_be_read_is_refused(model: bytes) -> None:
    assert read_metadata(model) is None
    with pytest.raises(BadInputError, match="no ONNX file"):
        read_metadata(b"\xff\xff\xff")
    broken = onnx.load_model_from_string(with_metadata(model, image_facts(), labels()))
    next(each for each in broken.metadata_props if each.key == "edgekd.preprocessing").value = "{"
    with pytest.raises(BadInputError, match="can't be read"):
        read_metadata(broken.SerializeToString())


@pytest.mark.parametrize(
    "scale", [{}, {"mean": (123.675, 116.28, 103.53), "scale": (58.395, 57.12, 57.375)}], ids=["one", "by channel"]
)
def test_bytes_give_what_prepared_images_give(model: bytes, scale: dict[str, object]) -> None:
    facts = image(**scale)
    inside = with_image_prefix(model, facts)
    assert inside == with_image_prefix(model, facts)
    for each in pixels():
        outside = (each.astype(np.float32) - np.float32(facts.mean)) / np.float32(facts.scale)
        assert np.array_equal(run(inside, each[None]), run(model, outside.transpose(2, 0, 1)[None]))


@pytest.mark.parametrize("size", [(12, 12), (24, 24), (19, 31), (40, 13), (7, 9), (203, 320)])
@pytest.mark.parametrize("crop", ["centre", "none"])
def test_images_of_other_sizes_are_cropped_and_resized_like_the_training_ones(
    model: bytes, size: tuple[int, int], crop: str
) -> None:
    inside = with_image_prefix(looking(model), image(resize="bilinear-antialiased", crop=crop))
    noise = np.random.default_rng(0).integers(256, size=(31, 31, 3), dtype=np.uint8)
    smooth = Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)
    wide = (tiny.SIZE, tiny.SIZE)
    fitted = ImageOps.fit(smooth, wide, Image.Resampling.BILINEAR) if crop == "centre" else None
    wanted = np.asarray(fitted or smooth.resize(wide, Image.Resampling.BILINEAR), np.float32)
    found = run(inside, np.asarray(smooth)[None])[0].transpose(1, 2, 0) * 127.5 + 127.5
    assert found.shape == wanted.shape
    off = np.abs(found - wanted)
    assert off.max() < 1.001  # Pillow rounds the directions in an order of its own
    assert off.mean() < 0.3


def test_without_antialiasing_only_the_nearest_pixels_count(model: bytes) -> None:
    inside = with_image_prefix(looking(model), image(resize="bilinear"))
    pixels = np.random.default_rng(0).integers(256, size=(1, 30, 51, 3), dtype=np.uint8)
    found = run(inside, pixels)[0] * 127.5 + 127.5
    values = torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float()
    wanted = torch.nn.functional.interpolate(values, (tiny.SIZE, tiny.SIZE), mode="bilinear")[0].numpy()
    assert np.abs(found - wanted).max() < 1.01  # half a level for each rounding


def looking(model: bytes) -> bytes:
    """A model that gives its input."""
    loaded = onnx.load_model_from_string(model)
    name = loaded.graph.input[0].name
    node = onnx.helper.make_node("Identity", [name], ["seen"])
    shape = onnx.helper.make_tensor_value_info("seen", onnx.TensorProto.FLOAT, [1, 3, tiny.SIZE, tiny.SIZE])
    graph = onnx.helper.make_graph([node], "looking", [loaded.graph.input[0]], [shape])
    return onnx.helper.make_model(graph, opset_imports=loaded.opset_import, ir_version=9).SerializeToString()


def test_the_prefix_refuses_what_it_can_not_do(model: bytes) -> None:
    old = onnx.load_model_from_string(model)
    old.opset_import[0].version = 17
    with pytest.raises(BadInputError, match="operator set 17, expected at least 18"):
        with_image_prefix(old.SerializeToString(), image())
    two = onnx.load_model_from_string(model)
    two.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))
    with pytest.raises(BadInputError, match="found 2 inputs"):
        with_image_prefix(two.SerializeToString(), image())
