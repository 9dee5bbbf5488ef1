"""Outliers that are planted in a tiny BERT cost dynamic INT8 for TFLite much, and are taken out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tinybert
import tinynet
import torch
from torch import nn

from edgekd.errors import BadInputError, StageError
from edgekd.exporters import text_tflite
from edgekd.models import quiet
from edgekd.models.encoder_source import from_folder
from edgekd.quantizers import tflite_dynamic, tflite_outliers, tflite_products
from edgekd.quantizers.tflite_editing import Editor
from edgekd.runtimes.tflite import Runner, describe
from edgekd.stages import export_tflite

pytest.importorskip("litert_quantizer")
pytest.importorskip("litert_torch")
LENGTH, ROWS = 16, 24
WIDE, LAYERS = 384, 2
CHANNEL, NEURON = 5, 7
Plant = Callable[[nn.Module], None]


def texts(seed: int, count: int = ROWS) -> dict[str, np.ndarray]:
    """Random ids, a quarter to all of the length, with padding of other ids that must not count."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(LENGTH // 4, LENGTH + 1, size=count)
    ids = generator.integers(5, 60, size=(count, LENGTH))
    return {"input_ids": ids, "attention_mask": (np.arange(LENGTH) < lengths[:, None]).astype(np.int64)}


def nothing(_module: nn.Module) -> None:
    """Leave it as it is."""


def a_channel(module: nn.Module) -> None:
    """After every layer normalisation one channel is large, and what reads it has small weights for it."""
    for name, part in module.named_modules():
        if name.endswith("LayerNorm"):
            part.weight.data[CHANNEL], part.bias.data[CHANNEL] = 1, 20
        elif name.endswith(("query", "key", "value", "intermediate.dense")):
            part.weight.data[:, CHANNEL] /= 20


def a_neuron(module: nn.Module) -> None:
    """In every feed-forward block one neuron is large for all tokens."""
    for name, part in module.named_modules():
        if name.endswith("intermediate.dense"):
            part.bias.data[NEURON] = 60
        elif name.endswith("output.dense") and part.in_features == WIDE:
            part.weight.data[:, NEURON] /= 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tflite_outliers")


def exported(folder: Path, plant: Plant, activation: str = "gelu") -> Path:
    """A tiny BERT with what ``plant`` did to it."""
    path = folder / f"{plant.__name__}-{activation}.tflite"
    if not path.exists():
        sizes = {"num_hidden_layers": LAYERS, "intermediate_size": WIDE}
        module, _, _ = from_folder(tinybert.save_model(folder / path.stem, hidden_act=activation, **sizes))
        with torch.no_grad():
            plant(module)
        with quiet.frameworks(), quiet.native_stderr():
            text_tflite.export(module.eval(), path, LENGTH)
    return path


def smoothed(path: Path) -> Path:
    target = path.with_stem(f"{path.stem}-smoothed")
    if not target.exists():
        with quiet.native_stderr():
            tflite_outliers.smooth(path, target, texts(0))
    return target


def outputs(path: Path) -> np.ndarray:
    with quiet.native_stderr():
        return Runner(path, 1).run([texts(1)])


def lost(path: Path, reference: Path) -> float:
    """By the INT8 file that is made of ``path``: the share of what differs between texts, which outliers don't."""
    target = path.with_stem(f"{path.stem}-int8")
    if not target.exists():
        with quiet.frameworks(), quiet.native_stderr():
            tflite_dynamic.quantize(path, target, "dynamic")
    expected = outputs(reference)
    return float(((outputs(target) - expected) ** 2).mean() / expected.var(axis=0).mean())


def fixed(path: Path, reference: Path) -> float:
    """What an INT8 file with fixed ranges loses."""
    target = path.with_stem(f"{path.stem}-static")
    with quiet.frameworks(), quiet.native_stderr():
        products = [each for each in tflite_products.watch(path, texts(0)) if not each.stays_dynamic]
        tflite_dynamic.quantize(path, target, "dynamic", fixed=products)
    expected = outputs(reference)
    return float(((outputs(target) - expected) ** 2).mean() / expected.var(axis=0).mean())


def added(path: Path) -> list[str]:
    """What kind of factor each operator brought that only the smoothed file has."""
    before, after = ([each.name for each in describe(each).operators] for each in (path, smoothed(path)))
    return [name.rpartition("_")[2] for name in after if name not in before]


@pytest.mark.parametrize("plant", [a_channel, a_neuron])
def test_smoothing_changes_nothing_in_float(folder: Path, plant: Plant) -> None:
    source = exported(folder, plant)
    assert np.abs(outputs(smoothed(source)) - outputs(source)).max() < 1e-5 * np.abs(outputs(source)).max()


@pytest.mark.parametrize("plant", [a_channel, a_neuron])
def test_outliers_cost_much_and_smoothing_repairs_it(folder: Path, plant: Plant) -> None:
    clean, source = exported(folder, nothing), exported(folder, plant)
    planted = lost(source, source)
    assert planted > 5 * lost(clean, clean)
    assert lost(smoothed(source), source) < 0.4 * planted


def test_smoothing_repairs_fixed_ranges_too(folder: Path) -> None:
    source = exported(folder, a_channel)
    planted = fixed(source, source)
    assert planted > 5 * fixed(exported(folder, nothing), exported(folder, nothing))
    assert fixed(smoothed(source), source) < 0.4 * planted
    with quiet.native_stderr():
        read = {each.call.reads for each in tflite_products.watch(source, texts(0)) if not each.stays_dynamic}
    kinds = Counter(each.op_type for each in describe(source.with_stem(f"{source.stem}-static")).operators)
    assert kinds["QUANTIZE"] == len(read) >= 3 * LAYERS  # one for each tensor that a product with fixed ranges reads


def test_dense_layers_return_to_float_by_name(folder: Path, tmp_path: Path) -> None:
    source = exported(folder, nothing)
    with quiet.frameworks(), quiet.native_stderr():
        products = tflite_products.watch(source, texts(0, 4))
        assert len(products) == 6 * LAYERS
        kept = [each.call.name for each in products[:5]]
        for given in ([], products):
            path = tmp_path / f"{len(given)}.tflite"
            tflite_dynamic.quantize(source, path, "dynamic", keep_float=kept, fixed=given)
            model = Editor.open(path)
            assert sum(model.constant(each.inputs[1]) is not None for each in model.of_kind("FULLY_CONNECTED")) == 5
        with pytest.raises(BadInputError, match="found 'nothing' to keep in float, which is no operator of the file"):
            tflite_dynamic.quantize(source, path, "dynamic", keep_float=["nothing"])


def test_every_normalisation_before_dense_layers_is_restored_for_the_residual(folder: Path) -> None:
    assert added(exported(folder, a_channel)).count("restored") == 2 * LAYERS  # all but the last


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_neurons_are_copied_whatever_the_activation(folder: Path, activation: str) -> None:
    source = exported(folder, a_neuron, activation)
    assert added(source) == ["shared"] * LAYERS
    model = Editor.open(smoothed(source))
    wide = [model.shape(each.inputs[1]) for each in model.of_kind("FULLY_CONNECTED")]
    assert Counter(wide)[(WIDE + 4, 32)] == Counter(wide)[(32, WIDE + 4)] == LAYERS  # 4 more in 384


def test_dense_layers_without_bias_and_without_a_mask_are_treated_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, WIDE, bias=False), nn.GELU(), nn.Linear(WIDE, 8)).eval()
    module[0].weight.data[NEURON] = 9.0
    rows = {"values": np.random.default_rng(0).uniform(size=(6, 8)).astype(np.float32)}
    source, target = tmp_path / "float.tflite", tmp_path / "smoothed.tflite"
    with quiet.frameworks(), quiet.native_stderr():
        export_tflite._export(module, {"values": rows["values"][:1]}, source)
        tflite_outliers.smooth(source, target, rows)
    assert [each.op_type for each in describe(target).operators].count("MUL") == 1


def test_a_file_without_outliers_is_left_alone(folder: Path) -> None:
    source = exported(folder, nothing)
    assert smoothed(source).read_bytes() == source.read_bytes()


def test_a_neuron_that_is_large_for_few_tokens_is_left_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tflite_outliers, "LED", 1.0)  # as if it led in too few
    source = exported(folder, a_neuron)
    with quiet.native_stderr():
        tflite_outliers.smooth(source, tmp_path / "same.tflite", texts(0))
    assert (tmp_path / "same.tflite").read_bytes() == source.read_bytes()


def test_a_network_for_images_is_left_alone(tmp_path: Path) -> None:
    source, images = tmp_path / "float.tflite", np.zeros((2, 3, 12, 12), np.float32)
    with quiet.frameworks(), quiet.native_stderr():
        export_tflite._export(tinynet.student().eval(), {"images": images[:1]}, source)
        tflite_outliers.smooth(source, tmp_path / "same.tflite", {"images": images})
    assert (tmp_path / "same.tflite").read_bytes() == source.read_bytes()
    assert {each.name for each in tmp_path.iterdir()} == {"float.tflite", "same.tflite"}


def test_a_rewriting_that_changes_the_outputs_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Editor, "multiply", lambda *_: None)
    source = exported(folder, a_channel)
    with quiet.native_stderr(), pytest.raises(StageError, match=r"a_channel-gelu\.tflite: .* its outputs differ by"):
        tflite_outliers.smooth(source, tmp_path / "wrong.tflite", texts(0))


def test_padding_is_left_out() -> None:
    values, row = np.arange(8.0).reshape(1, 4, 2), {"attention_mask": np.array([[1, 1, 0]])}
    assert tflite_outliers.tokens(values, row).tolist() == [[0, 1], [2, 3]]
    assert tflite_outliers.tokens(values[:, :1], row).tolist() == [[0, 1]]  # behind pooling there is one vector


def test_a_shared_constant_is_changed_for_one_operator_alone(folder: Path, tmp_path: Path) -> None:
    model = Editor.open(exported(folder, nothing))
    squares = [model.producer(each.inputs[0]) for each in model.of_kind("RSQRT")]
    sums = [each if model.kind(each) == "ADD" else model.producer(each.inputs[0]) for each in squares]
    assert len({each.inputs[1] for each in sums}) == 1  # the epsilon of all normalisations
    model.change(sums[0], 1, np.float32(0.5))
    (tmp_path / "changed.tflite").write_bytes(model.packed())
    again = Editor.open(tmp_path / "changed.tflite")
    found = [again.constant(again.producer(each.outputs[0]).inputs[1]) for each in sums]
    assert [float(each) for each in found] == pytest.approx([0.5, *[1e-12] * 2 * LAYERS])
